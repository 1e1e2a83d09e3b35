// Numbers of Linux by name. Exports the tables, name_of and find_*.
//
// Each table is indexed by its number, which the static_asserts check.
#include <weir/ebpf/names.h>

#include <array>

#include <fmt/format.h>

namespace weir::ebpf {
namespace {

struct Row {
  std::size_t number;
  std::string_view text;
};
template <std::size_t kSize>
constexpr bool is_dense(const std::array<Row, kSize>& rows) {
  for (std::size_t i = 0; i < kSize; ++i)
    if (rows[i].number != i) return false;
  return true;
}
template <std::size_t kSize>
constexpr std::array<std::string_view, kSize> texts_of(const std::array<Row, kSize>& rows) {
  std::array<std::string_view, kSize> texts;
  for (std::size_t i = 0; i < kSize; ++i) texts[i] = rows[i].text;
  return texts;
}

#define WEIR_EBPF_ROW(name, number, text) Row{number, text},
#define WEIR_EBPF_HELPER WEIR_EBPF_ROW
#define WEIR_EBPF_PROGRAM_TYPE WEIR_EBPF_ROW
#define WEIR_EBPF_MAP_TYPE WEIR_EBPF_ROW
#define WEIR_EBPF_ATTACH_TYPE WEIR_EBPF_ROW
constexpr std::array kHelperRows = {
#include <weir/ebpf/helpers.def>
};
constexpr std::array kProgramTypeRows = {
#include <weir/ebpf/program_types.def>
};
constexpr std::array kMapTypeRows = {
#include <weir/ebpf/map_types.def>
};
constexpr std::array kAttachTypeRows = {
#include <weir/ebpf/attach_types.def>
};
#undef WEIR_EBPF_ROW
#undef WEIR_EBPF_HELPER
#undef WEIR_EBPF_PROGRAM_TYPE
#undef WEIR_EBPF_MAP_TYPE
#undef WEIR_EBPF_ATTACH_TYPE
static_assert(is_dense(kHelperRows) && is_dense(kProgramTypeRows) && is_dense(kMapTypeRows) &&
              is_dense(kAttachTypeRows));

constexpr auto kHelpers = texts_of(kHelperRows);
constexpr auto kProgramTypes = texts_of(kProgramTypeRows);
constexpr auto kMapTypes = texts_of(kMapTypeRows);
constexpr auto kAttachTypes = texts_of(kAttachTypeRows);

template <typename T>
std::string text_of(std::span<const std::string_view> texts, T value) {
  const auto number = static_cast<std::uint32_t>(value);
  return number < texts.size() ? std::string(texts[number]) : fmt::format("{}", static_cast<std::int64_t>(value));
}

template <typename T>
std::optional<T> find_text(std::span<const std::string_view> texts, std::string_view text, std::string_view prefix) {
  std::string small(text);
  for (char& c : small)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  std::string_view word = small;
  if (word.substr(0, prefix.size()) == prefix) word.remove_prefix(prefix.size());
  for (std::size_t i = 0; i < texts.size(); ++i)
    if (texts[i] == word) return static_cast<T>(i);
  return std::nullopt;
}

}  // namespace

std::span<const std::string_view> helper_names() { return kHelpers; }
std::span<const std::string_view> program_type_names() { return kProgramTypes; }
std::span<const std::string_view> map_type_names() { return kMapTypes; }
std::span<const std::string_view> attach_type_names() { return kAttachTypes; }

std::string name_of(Helper helper) { return text_of(kHelpers, helper); }
std::string name_of(ProgramType type) { return text_of(kProgramTypes, type); }
std::string name_of(MapType type) { return text_of(kMapTypes, type); }
std::string name_of(AttachType type) { return text_of(kAttachTypes, type); }

std::optional<Helper> find_helper(std::string_view text) { return find_text<Helper>(kHelpers, text, "bpf_"); }
std::optional<ProgramType> find_program_type(std::string_view text) {
  return find_text<ProgramType>(kProgramTypes, text, "bpf_prog_type_");
}
std::optional<MapType> find_map_type(std::string_view text) {
  return find_text<MapType>(kMapTypes, text, "bpf_map_type_");
}
std::optional<AttachType> find_attach_type(std::string_view text) {
  return find_text<AttachType>(kAttachTypes, text, "bpf_");
}

}  // namespace weir::ebpf
