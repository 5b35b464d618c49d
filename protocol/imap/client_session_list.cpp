// LIST responses (RFC 9051 section 7.3.1).
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "imap/client_session.hpp"
#include "imap/mailbox_name.hpp"

namespace popbridge::imap {

void ClientSession::on_list(const ResponseHead& head, std::string_view line) {
  auto list = parse_list_head(head.rest);
  const auto mark = literal_mark(line);
  const bool name_is_literal =
      list && mark && list->rest.data() == line.data() + mark->begin && mark->octets;
  skip_literal_of(line, true);
  if (dead_ || !list) return;
  if (name_is_literal) {
    if (*mark->octets > kMailboxNameOctets) return;
    reading_ = Reading::kListed;
    listed_ = std::move(list->listed);
  } else if (mark && !list->rest.starts_with('"')) {
    return;  // a name without quotes ends nowhere
  } else if (auto name = parse_list_name(list->rest)) {
    emit_listed(std::move(list->listed), std::move(*name));
  }
}

void ClientSession::emit_listed(Listed listed, std::string wire_name) {
  // What cannot be sent back names no mailbox.
  constexpr std::string_view kUnsendable("\r\n\0", 3);
  if (wire_name.empty() || wire_name.size() > kMailboxNameOctets ||
      wire_name.find_first_of(kUnsendable) != std::string::npos) {
    return;
  }
  listed.name = decode_mailbox_name(wire_name);
  listed.wire_name = std::move(wire_name);
  emit(std::move(listed));
}

}  // namespace popbridge::imap
