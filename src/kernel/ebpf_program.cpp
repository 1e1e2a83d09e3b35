// Programs of the running kernel and where they are attached. Exports Program, attached_programs; what the kernel tells
// about a program is in ebpf_info.cpp. Source: bpf(2); kernel/bpf/syscall.c; net/bpf/test_run.c.
#include <sys/socket.h>

#include <algorithm>

#include <fmt/format.h>

#include <weir/kernel/program.h>
#include <weir/kernel/type_table.h>

#include "kernel/attach_refusal.h"
#include "kernel/bpf_call.h"

#ifndef SO_ATTACH_BPF
#define SO_ATTACH_BPF 50
#endif
#ifndef SO_DETACH_BPF
#define SO_DETACH_BPF 27
#endif

namespace weir::kernel {
namespace {

// The slots with the descriptors of the program's maps filled in.
Result<std::vector<ebpf::Instruction>> with_maps(const ebpf::Program& program, std::span<const Map* const> maps) {
  std::vector<ebpf::Instruction> slots = program.instructions;
  for (const ebpf::MapReference& reference : program.map_references) {
    if (reference.map >= maps.size() || maps[reference.map] == nullptr)
      return fail(
          Error{.code = ErrorCode::kUsage,
                .message = fmt::format("the program needs {} maps, {} were given", program.maps.size(), maps.size()),
                .place = InstructionPlace{reference.instruction}});
    slots[reference.instruction].immediate = maps[reference.map]->descriptor();
  }
  return slots;
}

// The kernel's table of the program's types, if it takes one, and the records that refer to it.
struct Lines {
  ProgramTypes types;
  std::optional<TypeTable> table;
};
void give_lines(const ebpf::Program& program, Lines& lines, bpf_attr& attributes) {
  lines.types = types_of(program);
  Result<TypeTable> table = TypeTable::load(lines.types.bytes);
  if (!table) return;  // a kernel before 4.18; the program loads without
  lines.table.emplace(std::move(*table));
  attributes.prog_btf_fd = static_cast<std::uint32_t>(lines.table->descriptor());
  attributes.func_info_rec_size = 8;
  attributes.func_info = pointer_of(lines.types.functions.data());
  attributes.func_info_cnt = static_cast<std::uint32_t>(lines.types.functions.size() / 2);
  if (lines.types.lines.empty()) return;
  attributes.line_info_rec_size = 16;
  attributes.line_info = pointer_of(lines.types.lines.data());
  attributes.line_info_cnt = static_cast<std::uint32_t>(lines.types.lines.size() / 4);
}

bpf_attr describe_load(const ebpf::Program& program, std::span<const ebpf::Instruction> slots,
                       const LoadOptions& options) {
  bpf_attr attributes = empty_attributes();
  attributes.prog_type = static_cast<std::uint32_t>(program.type);
  attributes.insns = pointer_of(slots.data());
  attributes.insn_cnt = static_cast<std::uint32_t>(slots.size());
  attributes.license = pointer_of(program.license.c_str());
  if (program.has_attach_type) attributes.expected_attach_type = static_cast<std::uint32_t>(program.attach_type);
  if (options.strict_alignment) attributes.prog_flags |= BPF_F_STRICT_ALIGNMENT;
  if (options.sleepable) attributes.prog_flags |= BPF_F_SLEEPABLE;
  attributes.kern_version = options.kernel_version != 0 ? options.kernel_version : running_kernel();
  attributes.prog_ifindex = options.interface_index;
  attributes.attach_btf_id = options.attach_type_id;
  if (options.extends != nullptr) attributes.attach_prog_fd = static_cast<std::uint32_t>(options.extends->descriptor());
  copy_name(attributes.prog_name, program.name);
  return attributes;
}

}  // namespace

Result<Program> Program::load(const ebpf::Program& program, const LoadOptions& options) {
  WEIR_TRY(const std::vector<ebpf::Instruction> slots, with_maps(program, options.maps));
  bpf_attr attributes = describe_load(program, slots, options);
  Lines lines;
  if (options.source_lines && (!program.lines.empty() || !program.functions.empty()))
    give_lines(program, lines, attributes);
  // A log that does not fit fails the call (ENOSPC): then more room.
  std::vector<char> log;
  for (std::size_t room = 1u << 16; room <= (1u << 26); room *= 8) {
    if (options.log_level != 0) {
      log.assign(room, '\0');
      attributes.log_level = options.log_level;
      attributes.log_buf = pointer_of(log.data());
      attributes.log_size = static_cast<std::uint32_t>(log.size());
    }
    Result<int> descriptor = bpf_call(BPF_PROG_LOAD, attributes, "BPF_PROG_LOAD");
    if (!descriptor && descriptor.error().system_error == ENOSPC && !log.empty()) continue;
    if (options.log != nullptr) *options.log = log.empty() ? "" : log.data();
    if (descriptor) return Program(FileDescriptor(*descriptor));
    Error error = std::move(descriptor).error();
    if (std::string why = log.empty() ? "" : last_words(log.data()); !why.empty()) error.hint = std::move(why);
    else if (program.instructions.empty()) error.hint = "the program has no instructions";
    else if (program.type == ebpf::ProgramType::kUnspec) error.hint = "the program has no type";
    return fail(std::move(error));
  }
  return fail(system_failure("BPF_PROG_LOAD: the verifier's log is too long", ENOSPC));
}

Result<Program> Program::open_pinned(const std::string& path) {
  WEIR_TRY(FileDescriptor descriptor, open_object(path));
  return Program(std::move(descriptor));
}

Result<Program> Program::open_id(std::uint32_t id) {
  WEIR_TRY(FileDescriptor descriptor, object_by_id(BPF_PROG_GET_FD_BY_ID, id, "BPF_PROG_GET_FD_BY_ID"));
  return Program(std::move(descriptor));
}

std::uint32_t Program::id() const {
  bpf_prog_info info;
  set_zero(info);
  return object_info(descriptor(), info) ? info.id : 0;
}

namespace {
// What of the run the kernel does not take, where it can be told; `size` is what it says of the packet afterwards.
Error explain_run(Error error, const TestRun& options, std::size_t size) {
  constexpr std::size_t kHeader = 14;
  constexpr int kNotSupported = 524;  // ENOTSUPP, the kernel's own number
  if (error.system_error == kNotSupported) error.hint = "the kernel has no test run for programs of this type";
  if (error.system_error == EINVAL && options.input.empty() && options.context.empty())
    error.hint = "programs on packets want a packet";
  else if (error.system_error == EINVAL && !options.input.empty() && options.input.size() < kHeader)
    error.hint = "packets have 14 bytes at least";
  if (error.system_error == ENOSPC && size > options.output_bytes)
    error.hint = fmt::format("the packet afterwards has {} bytes, output_bytes is {}", size, options.output_bytes);
  return error;
}
}  // namespace

Result<TestResult> Program::test_run(const TestRun& options) const {
  TestResult result;
  // Kinds that take no packet refuse room for one.
  result.output.resize(options.input.empty() ? 0 : options.output_bytes);
  constexpr std::size_t kLongestContext = 256;  // the kernel's own is written back, longer than what was given
  result.context.resize(options.context.empty() ? 0 : std::max(options.context.size(), kLongestContext));
  bpf_attr attributes = empty_attributes();
  attributes.test.prog_fd = static_cast<std::uint32_t>(descriptor());
  if (!options.input.empty()) {
    attributes.test.data_in = pointer_of(options.input.data());
    attributes.test.data_size_in = static_cast<std::uint32_t>(options.input.size());
    attributes.test.data_out = pointer_of(result.output.data());
    attributes.test.data_size_out = static_cast<std::uint32_t>(result.output.size());
  }
  if (!options.context.empty()) {
    attributes.test.ctx_in = pointer_of(options.context.data());
    attributes.test.ctx_size_in = static_cast<std::uint32_t>(options.context.size());
    // Only kinds that run over packets give the context back.
    if (!options.input.empty()) {
      attributes.test.ctx_out = pointer_of(result.context.data());
      attributes.test.ctx_size_out = static_cast<std::uint32_t>(result.context.size());
    }
  }
  if (options.processor) {
    attributes.test.flags = BPF_F_TEST_RUN_ON_CPU;
    attributes.test.cpu = *options.processor;
  }
  // Kinds that run once refuse to be told how often.
  attributes.test.repeat = options.input.empty() && options.repeat == 1 ? 0 : options.repeat;
  if (const Result<int> done = bpf_call(BPF_PROG_TEST_RUN, attributes, "BPF_PROG_TEST_RUN"); !done)
    return fail(explain_run(done.error(), options, attributes.test.data_size_out));
  result.value = attributes.test.retval;
  result.nanoseconds = attributes.test.duration;
  result.output.resize(std::min<std::size_t>(result.output.size(), attributes.test.data_size_out));
  result.context.resize(std::min<std::size_t>(result.context.size(), attributes.test.ctx_size_out));
  return result;
}

Status Program::attach_socket(int socket) const {
  const int program = descriptor();
  if (setsockopt(socket, SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof program) != 0)
    return fail(explain_socket(system_failure("SO_ATTACH_BPF", errno), *this));
  return {};
}
Status Program::detach_socket(int socket) {
  const int unused = 0;
  if (setsockopt(socket, SOL_SOCKET, SO_DETACH_BPF, &unused, sizeof unused) != 0)
    return fail(system_failure("SO_DETACH_BPF", errno));
  return {};
}

Status Program::attach(std::uint32_t target, ebpf::AttachType where, std::uint32_t flags) const {
  bpf_attr attributes = empty_attributes();
  attributes.target_fd = target;
  attributes.attach_bpf_fd = static_cast<std::uint32_t>(descriptor());
  attributes.attach_type = static_cast<std::uint32_t>(where);
  attributes.attach_flags = flags;
  const Result<int> done = bpf_call(BPF_PROG_ATTACH, attributes, "BPF_PROG_ATTACH");
  return done ? Status() : fail(explain_attach(done.error(), *this, target, where));
}
Status Program::detach(std::uint32_t target, ebpf::AttachType where) const {
  bpf_attr attributes = empty_attributes();
  attributes.target_fd = target;
  attributes.attach_bpf_fd = static_cast<std::uint32_t>(descriptor());
  attributes.attach_type = static_cast<std::uint32_t>(where);
  const Result<int> done = bpf_call(BPF_PROG_DETACH, attributes, "BPF_PROG_DETACH");
  return done ? Status() : fail(explain_attach(done.error(), *this, target, where));
}
Status Program::attach_cgroup(int cgroup, ebpf::AttachType where, ebpf::CgroupAttach flags) const {
  return attach(static_cast<std::uint32_t>(cgroup), where, static_cast<std::uint32_t>(flags));
}
Status Program::detach_cgroup(int cgroup, ebpf::AttachType where) const {
  return detach(static_cast<std::uint32_t>(cgroup), where);
}

Status Program::pin(const std::string& path) const { return pin_object(descriptor(), path); }

Result<std::vector<std::uint32_t>> attached_programs(std::uint32_t target, ebpf::AttachType where) {
  std::vector<std::uint32_t> ids(64);
  for (;;) {
    bpf_attr attributes = empty_attributes();
    attributes.query.target_fd = target;
    attributes.query.attach_type = static_cast<std::uint32_t>(where);
    attributes.query.prog_ids = pointer_of(ids.data());
    attributes.query.prog_cnt = static_cast<std::uint32_t>(ids.size());
    const Result<int> done = bpf_call(BPF_PROG_QUERY, attributes, "BPF_PROG_QUERY");
    if (!done && done.error().system_error == ENOSPC && ids.size() < 1u << 20) {
      ids.resize(ids.size() * 4);
      continue;
    }
    if (!done) return fail(done.error());
    ids.resize(std::min<std::size_t>(ids.size(), attributes.query.prog_cnt));
    return ids;
  }
}

}  // namespace weir::kernel
