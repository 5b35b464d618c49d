#include "imap/capability_set.hpp"

#include <cstddef>

#include "common/ascii.hpp"
#include "imap/cursor.hpp"

namespace popbridge::imap {
namespace {

struct Name {
  std::string_view word;
  Capability capability;
};

constexpr Name kNames[] = {
    {"IMAP4REV1", Capability::kImap4rev1},
    {"IMAP4REV2", Capability::kImap4rev2},
    {"STARTTLS", Capability::kStartTls},
    {"LOGINDISABLED", Capability::kLoginDisabled},
    {"AUTH=PLAIN", Capability::kAuthPlain},
    {"SASL-IR", Capability::kSaslIr},
    {"LITERAL+", Capability::kLiteralPlus},
    {"LITERAL-", Capability::kLiteralMinus},
    {"ID", Capability::kId},
    {"UIDPLUS", Capability::kUidPlus},
    {"ESEARCH", Capability::kEsearch},
    {"SEARCHRES", Capability::kSearchRes},
    {"MOVE", Capability::kMove},
    {"CONDSTORE", Capability::kCondStore},
    {"QRESYNC", Capability::kCondStore},  // includes it (RFC 7162 section 3.2)
    {"MESSAGELIMIT", Capability::kMessageLimit},
    {"UIDONLY", Capability::kUidOnly},
    {"SPECIAL-USE", Capability::kSpecialUse},
    {"OBJECTID", Capability::kObjectId},
    {"X-GM-EXT-1", Capability::kGmailExt1},
    {"UNSELECT", Capability::kUnselect},
    {"ENABLE", Capability::kEnable},
    {"UTF8=ACCEPT", Capability::kUtf8Accept},
};

/// RFC 9051 appendix E, as far as Capability names it.
constexpr Capability kPartOfRev2[] = {
    Capability::kUnselect, Capability::kUidPlus, Capability::kEsearch, Capability::kSearchRes,
    Capability::kEnable,   Capability::kSaslIr,  Capability::kMove,    Capability::kLiteralMinus,
};

constexpr std::string_view kMessageLimitStart = "MESSAGELIMIT=";

}  // namespace

void CapabilitySet::add(Capability capability) {
  bits_.set(static_cast<std::size_t>(capability));
}

bool CapabilitySet::has(Capability capability) const {
  return bits_.test(static_cast<std::size_t>(capability));
}

void CapabilitySet::add_word(std::string_view word) {
  // The one word here that carries a value.
  if (istarts_with(word, kMessageLimitStart)) word = word.substr(0, kMessageLimitStart.size() - 1);
  for (const Name& name : kNames) {
    if (iequals(word, name.word)) add(name.capability);
  }
}

CapabilitySet CapabilitySet::parse(std::string_view words) {
  CapabilitySet set;
  Cursor cursor(words);
  std::string_view previous;
  for (cursor.skip_spaces(); !cursor.at_end(); cursor.skip_spaces()) {
    const std::string_view word = cursor.take_word();
    if (iequals(previous, "LITERAL") && word == "+") set.add(Capability::kLiteralPlus);
    if (iequals(previous, "LITERAL") && word == "-") set.add(Capability::kLiteralMinus);
    set.add_word(word);
    previous = word;
  }
  if (set.has(Capability::kImap4rev2)) {
    for (const Capability capability : kPartOfRev2) set.add(capability);
  }
  return set;
}

}  // namespace popbridge::imap
