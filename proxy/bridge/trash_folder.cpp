#include "bridge/trash_folder.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "common/ascii.hpp"

namespace popbridge::bridge {
namespace {

/// Below these, and at the top, names count.
constexpr std::array<std::string_view, 3> kParents = {"INBOX", "[Gmail]", "[Google Mail]"};

/// In the languages that webmail of the providers speaks. The surer ones first: "Bin" and "Deleted"
/// may be something else, and one provider's trash is another one's junk.
constexpr std::array<std::string_view, 48> kNames = {
    "Trash",
    "Deleted Items",     // Microsoft, Cyrus
    "Deleted Messages",  // iCloud
    "Papierkorb",
    "Gelöscht",  // GMX, web.de
    "Gelöschte Elemente",
    "Gelöschte Objekte",
    "Corbeille",
    "Éléments supprimés",
    "Messages supprimés",
    "Cestino",
    "Posta eliminata",
    "Elementi eliminati",
    "Papelera",
    "Elementos eliminados",
    "Lixeira",
    "Itens excluídos",
    "Itens Excluídos",
    "Itens eliminados",
    "Prullenbak",
    "Verwijderde items",
    "Papperskorgen",
    "Borttaget",
    "Papirkurv",
    "Slettet post",
    "Slettede elementer",
    "Roskakori",
    "Poistetut",
    "Kosz",
    "Elementy usunięte",
    "Koš",
    "Odstraněná pošta",
    "Kôš",
    "Lomtár",
    "Coș de gunoi",
    "Κάδος απορριμμάτων",
    "Çöp Kutusu",
    "Корзина",
    "Удаленные",
    "Удалённые",
    "Кошик",
    "ゴミ箱",
    "휴지통",
    "已删除",
    "已删除邮件",
    "Bin",
    "Deleted",
    "垃圾箱",
};

/// Where the name stands in the table, from 1; 0: nowhere.
std::size_t rank_of(const imap::Listed& listed) {
  std::string_view name = listed.name;
  if (listed.delimiter) {
    for (const std::string_view parent : kParents) {
      const bool below = istarts_with(name, parent) && name.size() > parent.size() &&
                         name[parent.size()] == *listed.delimiter;
      if (!below) continue;
      name.remove_prefix(parent.size() + 1);
      break;
    }
  }
  const auto at = std::ranges::find_if(
      kNames, [&](std::string_view candidate) { return iequals(candidate, name); });
  return at == kNames.end() ? 0 : static_cast<std::size_t>(at - kNames.begin()) + 1;
}

}  // namespace

void TrashFolder::note(const imap::Listed& listed) {
  any_listed_ = true;
  if (!listed.selectable) return;
  const std::size_t rank = rank_of(listed);
  if (!listed.trash && rank == 0) return;
  const std::size_t this_rank = listed.trash ? 0 : rank;
  if (found_ && rank_ <= this_rank) return;
  found_ = listed.wire_name;
  rank_ = this_rank;
}

}  // namespace popbridge::bridge
