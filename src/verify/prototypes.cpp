// What helpers of the kernel take, by the kind of program. Exports kernel_helper.
//
// The table is <weir/runtime/prototypes.def>, which the helpers of user space read too; what kinds of programs may call
// each stands there in the words of verify/families.h.
#include <vector>

#include "verify/context.h"
#include "verify/families.h"

namespace weir::verify {
namespace {

struct Row {
  Families programs = 0;
  runtime::Prototype prototype{};
};
using Table = std::vector<std::vector<Row>>;  // by the helper's number: a row for each kind of programs that differs

void add(Table& table, ebpf::Helper helper, Families programs, runtime::Prototype prototype) {
  const auto number = static_cast<std::size_t>(helper);
  if (table.size() <= number) table.resize(number + 1);
  table[number].push_back({programs, std::move(prototype)});
}

Table make_table() {
  using namespace runtime::trait;
  Table table;
#define WEIR_LIST(...) \
  { __VA_ARGS__ }
#define WEIR_PROTOTYPE(helper, families, traits, result, arguments)                                             \
  {                                                                                                             \
    const Families programs = families;                                                                         \
    const unsigned bits = traits;                                                                               \
    using enum runtime::ArgumentKind;                                                                           \
    add(table, ebpf::Helper::helper, programs,                                                                  \
        runtime::make_prototype(ebpf::Helper::helper, bits, runtime::ResultKind::result, WEIR_LIST arguments)); \
  }
#include <weir/runtime/prototypes.def>
#undef WEIR_PROTOTYPE
#undef WEIR_LIST
  return table;
}

}  // namespace

KernelHelper kernel_helper(const std::optional<Layout>& layout, std::int32_t helper) {
  static const Table kTable = make_table();
  if (helper < 0 || static_cast<std::size_t>(helper) >= kTable.size()) return {};
  const std::vector<Row>& rows = kTable[static_cast<std::size_t>(helper)];
  KernelHelper found{.is_known = !rows.empty()};
  for (const Row& row : rows)
    if (found.prototype == nullptr && (!layout || (row.programs & layout->family) != 0))
      found.prototype = &row.prototype;
  return found;
}

}  // namespace weir::verify
