// Overloaded: one visitor made of several lambdas.
#pragma once

namespace popbridge::bridge {

/// For std::visit: the overload that fits the event's type is called; give a `const auto&` one to
/// say that other events do not concern the caller.
template <class... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};

}  // namespace popbridge::bridge
