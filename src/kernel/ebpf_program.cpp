// Programs of the running kernel and where they run. Exports Program, Link. Source: bpf(2); kernel/bpf/syscall.c.
#include <sys/socket.h>

#include <fmt/format.h>

#include <weir/kernel/ebpf.h>

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

// What the verifier complained of: its last line before the summary.
std::string last_words(std::string_view log) {
  std::string_view last;
  while (!log.empty()) {
    const std::size_t end = log.find('\n');
    const std::string_view line = log.substr(0, end);
    if (!line.empty() && line.substr(0, 9) != "processed" && line.substr(0, 17) != "verification time") last = line;
    log = end == std::string_view::npos ? std::string_view() : log.substr(end + 1);
  }
  return std::string(last);
}

}  // namespace

Result<Program> Program::load(const ebpf::Program& program, const LoadOptions& options) {
  WEIR_TRY(const std::vector<ebpf::Instruction> slots, with_maps(program, options.maps));
  bpf_attr attributes = empty_attributes();
  attributes.prog_type = static_cast<std::uint32_t>(program.type);
  attributes.insns = pointer_of(slots.data());
  attributes.insn_cnt = static_cast<std::uint32_t>(slots.size());
  attributes.license = pointer_of(program.license.c_str());
  if (program.has_attach_type) attributes.expected_attach_type = static_cast<std::uint32_t>(program.attach_type);
  if (options.strict_alignment) attributes.prog_flags = BPF_F_STRICT_ALIGNMENT;
  for (std::size_t i = 0; i < program.name.size() && i + 1 < sizeof attributes.prog_name; ++i) {
    const char c = program.name[i];
    const bool good =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
    attributes.prog_name[i] = good ? c : '_';
  }
  // A log that does not fit fails the call (ENOSPC): then more room.
  std::vector<char> log;
  for (std::size_t room = 1u << 16; room <= (1u << 26); room *= 8) {
    if (options.log_level != 0 || room > (1u << 16)) {
      log.assign(room, '\0');
      attributes.log_level = options.log_level != 0 ? options.log_level : 1;
      attributes.log_buf = pointer_of(log.data());
      attributes.log_size = static_cast<std::uint32_t>(log.size());
    }
    const Result<int> descriptor = bpf_call(BPF_PROG_LOAD, attributes, "BPF_PROG_LOAD");
    if (!descriptor && descriptor.error().system_error == ENOSPC && !log.empty()) continue;
    if (options.log != nullptr) *options.log = log.empty() ? "" : log.data();
    if (descriptor) return Program(FileDescriptor(*descriptor));
    Error error = descriptor.error();
    if (!log.empty()) error.hint = last_words(log.data());
    return fail(std::move(error));
  }
  return fail(system_failure("BPF_PROG_LOAD: the verifier's log is too long", ENOSPC));
}

Result<Program> Program::open_pinned(const std::string& path) {
  WEIR_TRY(FileDescriptor descriptor, open_object(path));
  return Program(std::move(descriptor));
}

Result<Program> Program::open_id(std::uint32_t id) {
  bpf_attr attributes = empty_attributes();
  attributes.prog_id = id;
  WEIR_TRY(const int descriptor, bpf_call(BPF_PROG_GET_FD_BY_ID, attributes, "BPF_PROG_GET_FD_BY_ID"));
  return Program(FileDescriptor(descriptor));
}

std::uint32_t Program::id() const {
  bpf_prog_info info{};
  bpf_attr attributes = empty_attributes();
  attributes.info.bpf_fd = static_cast<std::uint32_t>(descriptor());
  attributes.info.info_len = sizeof info;
  attributes.info.info = pointer_of(&info);
  return bpf_call(BPF_OBJ_GET_INFO_BY_FD, attributes, "BPF_OBJ_GET_INFO_BY_FD") ? info.id : 0;
}

Result<TestResult> Program::test_run(const TestRun& options) const {
  TestResult result;
  result.output.resize(options.output_bytes);
  bpf_attr attributes = empty_attributes();
  attributes.test.prog_fd = static_cast<std::uint32_t>(descriptor());
  attributes.test.data_in = pointer_of(options.input.data());
  attributes.test.data_size_in = static_cast<std::uint32_t>(options.input.size());
  attributes.test.data_out = pointer_of(result.output.data());
  attributes.test.data_size_out = static_cast<std::uint32_t>(result.output.size());
  attributes.test.repeat = options.repeat;
  WEIR_TRY([[maybe_unused]] const int done, bpf_call(BPF_PROG_TEST_RUN, attributes, "BPF_PROG_TEST_RUN"));
  result.value = attributes.test.retval;
  result.nanoseconds = attributes.test.duration;
  result.output.resize(std::min<std::size_t>(result.output.size(), attributes.test.data_size_out));
  return result;
}

Status Program::attach_socket(int socket) const {
  const int program = descriptor();
  if (setsockopt(socket, SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof program) != 0)
    return fail(system_failure("SO_ATTACH_BPF", errno));
  return {};
}
Status Program::detach_socket(int socket) {
  const int unused = 0;
  if (setsockopt(socket, SOL_SOCKET, SO_DETACH_BPF, &unused, sizeof unused) != 0)
    return fail(system_failure("SO_DETACH_BPF", errno));
  return {};
}

Status Program::attach_cgroup(int cgroup, ebpf::AttachType where, ebpf::CgroupAttach flags) const {
  bpf_attr attributes = empty_attributes();
  attributes.target_fd = static_cast<std::uint32_t>(cgroup);
  attributes.attach_bpf_fd = static_cast<std::uint32_t>(descriptor());
  attributes.attach_type = static_cast<std::uint32_t>(where);
  attributes.attach_flags = static_cast<std::uint32_t>(flags);
  WEIR_TRY([[maybe_unused]] const int done, bpf_call(BPF_PROG_ATTACH, attributes, "BPF_PROG_ATTACH"));
  return {};
}
Status Program::detach_cgroup(int cgroup, ebpf::AttachType where) const {
  bpf_attr attributes = empty_attributes();
  attributes.target_fd = static_cast<std::uint32_t>(cgroup);
  attributes.attach_bpf_fd = static_cast<std::uint32_t>(descriptor());
  attributes.attach_type = static_cast<std::uint32_t>(where);
  WEIR_TRY([[maybe_unused]] const int done, bpf_call(BPF_PROG_DETACH, attributes, "BPF_PROG_DETACH"));
  return {};
}

Status Program::pin(const std::string& path) const { return pin_object(descriptor(), path); }

Result<Link> Link::create(const Program& program, std::uint32_t target, ebpf::AttachType where, std::uint32_t flags) {
  bpf_attr attributes = empty_attributes();
  attributes.link_create.prog_fd = static_cast<std::uint32_t>(program.descriptor());
  attributes.link_create.target_fd = target;
  attributes.link_create.attach_type = static_cast<std::uint32_t>(where);
  attributes.link_create.flags = flags;
  WEIR_TRY(const int descriptor, bpf_call(BPF_LINK_CREATE, attributes, "BPF_LINK_CREATE"));
  return Link(FileDescriptor(descriptor));
}

Status Link::update(const Program& program) const {
  bpf_attr attributes = empty_attributes();
  attributes.link_update.link_fd = static_cast<std::uint32_t>(descriptor());
  attributes.link_update.new_prog_fd = static_cast<std::uint32_t>(program.descriptor());
  WEIR_TRY([[maybe_unused]] const int done, bpf_call(BPF_LINK_UPDATE, attributes, "BPF_LINK_UPDATE"));
  return {};
}

Status Link::detach() const {
  bpf_attr attributes = empty_attributes();
  attributes.link_detach.link_fd = static_cast<std::uint32_t>(descriptor());
  WEIR_TRY([[maybe_unused]] const int done, bpf_call(BPF_LINK_DETACH, attributes, "BPF_LINK_DETACH"));
  return {};
}

Status Link::pin(const std::string& path) const { return pin_object(descriptor(), path); }

}  // namespace weir::kernel
