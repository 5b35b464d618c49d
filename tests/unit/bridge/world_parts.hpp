// What a world of random choices is made of: messages, an index of an earlier day, a client's
// script.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bridge/index_store.hpp"
#include "unit/bridge/client_model.hpp"
#include "unit/bridge/imap_model.hpp"
#include "unit/bridge/world.hpp"

namespace popbridge::bridge::test {

/// A message whose octets say which one it is, so that no part of another can pass for it.
std::string make_message(std::uint32_t uid, std::uint32_t generation, bool may_be_long, Dice& dice);
std::vector<StoredMessage> make_messages(std::uint32_t generation, std::size_t count, Dice& dice);
/// As an earlier session left it: without the newest messages, with some that have gone since; or
/// of another generation.
std::shared_ptr<IndexStore> make_store(const FolderModel& mailbox, Dice& dice);
std::vector<Exchange> make_script(Dice& dice, bool with_views);

}  // namespace popbridge::bridge::test
