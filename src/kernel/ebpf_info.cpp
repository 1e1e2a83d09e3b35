// What the kernel tells about a loaded program. Exports Program::info, Program::translated.
//
// Source: kernel/bpf/syscall.c, bpf_prog_get_info_by_fd: a first call gives sizes, a second one fills what was given
// room for. The time of loading is counted from the start of the machine.
#include <algorithm>
#include <ctime>

#include <fmt/format.h>

#include <weir/kernel/program.h>
#include <weir/kernel/type_table.h>

#include "kernel/bpf_call.h"

namespace weir::kernel {
namespace {

std::int64_t wall_clock(std::uint64_t since_boot) {
  timespec now{};
  timespec boot{};
  clock_gettime(CLOCK_REALTIME, &now);
  clock_gettime(CLOCK_BOOTTIME, &boot);
  const std::int64_t started = (now.tv_sec - boot.tv_sec) * 1'000'000'000 + (now.tv_nsec - boot.tv_nsec);
  return (started + static_cast<std::int64_t>(since_boot)) / 1'000'000'000;
}

// A text of a table's strings; its header says where they begin. The kernel has checked both.
std::string text_at(const std::vector<std::uint8_t>& types, std::uint32_t offset) {
  if (types.size() < 24) return {};
  const std::size_t at = std::size_t{weir::load<std::uint32_t>(&types[4], std::endian::native)} +
                         weir::load<std::uint32_t>(&types[16], std::endian::native) + offset;
  if (at >= types.size()) return {};
  const char* const text = reinterpret_cast<const char*>(&types[at]);
  return std::string(text, strnlen(text, types.size() - at));
}

// The source lines of a program, which the kernel moves along with the instructions.
Result<std::vector<ebpf::SourceLine>> source_lines(int descriptor, const bpf_prog_info& sizes) {
  std::vector<ebpf::SourceLine> out;
  if (sizes.btf_id == 0 || sizes.nr_line_info == 0) return out;
  std::vector<bpf_line_info> records(sizes.nr_line_info);
  bpf_prog_info info;
  set_zero(info);
  info.line_info = pointer_of(records.data());
  info.nr_line_info = static_cast<std::uint32_t>(records.size());
  info.line_info_rec_size = sizeof(bpf_line_info);
  WEIR_CHECK(object_info(descriptor, info));
  WEIR_TRY(const TypeTable table, TypeTable::open_id(sizes.btf_id));
  WEIR_TRY(const std::vector<std::uint8_t> types, table.bytes());
  records.resize(std::min<std::size_t>(records.size(), info.nr_line_info));
  for (const bpf_line_info& record : records)
    out.push_back({.instruction = record.insn_off,
                   .line = record.line_col >> 10,
                   .column = record.line_col & 0x3ff,
                   .file = text_at(types, record.file_name_off),
                   .text = text_at(types, record.line_off)});
  return out;
}

}  // namespace

Result<ProgramInfo> Program::info() const {
  bpf_prog_info sizes;
  set_zero(sizes);
  WEIR_CHECK(object_info(descriptor(), sizes));
  ProgramInfo out{.id = sizes.id, .type = static_cast<ebpf::ProgramType>(sizes.type)};
  out.maps.resize(sizes.nr_map_ids);
  bpf_prog_info info;
  set_zero(info);
  info.nr_map_ids = sizes.nr_map_ids;
  info.map_ids = pointer_of(out.maps.data());
  WEIR_CHECK(object_info(descriptor(), info));
  out.name.assign(info.name, strnlen(info.name, sizeof info.name));
  for (const std::uint8_t byte : info.tag) out.tag += fmt::format("{:02x}", byte);
  out.loaded_at = wall_clock(info.load_time);
  out.user = info.created_by_uid;
  out.gpl_compatible = info.gpl_compatible != 0;
  out.bytes = info.xlated_prog_len;
  out.machine_bytes = info.jited_prog_len;
  out.memory = std::strtoull(fd_info(descriptor())["memlock"].c_str(), nullptr, 10);
  out.verified = info.verified_insns;
  out.run_nanoseconds = info.run_time_ns;
  out.runs = info.run_cnt;
  out.interface_index = info.ifindex;
  out.types_id = info.btf_id;
  return out;
}

Result<ebpf::Program> Program::translated() const {
  bpf_prog_info sizes;
  set_zero(sizes);
  WEIR_CHECK(object_info(descriptor(), sizes));
  ebpf::Program out;
  out.instructions.resize(sizes.xlated_prog_len / sizeof(ebpf::Instruction));
  bpf_prog_info info;
  set_zero(info);
  info.xlated_prog_len = sizes.xlated_prog_len;
  info.xlated_prog_insns = pointer_of(out.instructions.data());
  WEIR_CHECK(object_info(descriptor(), info));
  if (info.xlated_prog_insns == 0)
    return fail(Error{.code = ErrorCode::kUnsupported,
                      .message = "the kernel hides the program's instructions",
                      .hint = "it shows them to root with net.core.bpf_jit_harden=0 or kernel.kptr_restrict=0"});
  out.instructions.resize(info.xlated_prog_len / sizeof(ebpf::Instruction));
  out.name.assign(info.name, strnlen(info.name, sizeof info.name));
  out.type = static_cast<ebpf::ProgramType>(info.type);
  // Lines are for people: a program without is still shown.
  if (Result<std::vector<ebpf::SourceLine>> lines = source_lines(descriptor(), sizes)) out.lines = std::move(*lines);
  return out;
}

}  // namespace weir::kernel
