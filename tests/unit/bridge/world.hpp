// The world around one bridge: a client with a script, a server with faults, time and flow control.
#pragma once

#include <cstddef>

#include "dice.hpp"

namespace popbridge::bridge::test {

/// Plays one session from its beginning to its end; all that happens is chosen by `dice`. One
/// answer of the server in `fault_every` is faulty; 0: none. `with_views`: the login's choices are
/// chosen too, and its folders, of which there may be two. Throws test::Broken if something was
/// lost or said that is not true, or if there is no end.
void play_world(Dice dice, std::size_t fault_every, bool with_views);

}  // namespace popbridge::bridge::test
