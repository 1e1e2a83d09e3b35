// weir run --engine kernel: the program loaded into the running kernel and run there, over the same inputs, shown in
// the same form. Exports loses_header, packet_for_test, sees_no_link_layer, network_part, kernel_type, run_in_kernel.
//
// The kernel's test run takes the Ethernet header off before it shows a packet to socket filters and their like, but
// not for XDP and tc. A filter of a packet socket sees that header, and programs of control groups and routes get
// packets that have none: such packets get a header more, for the kernel to take off. Source: net/bpf/test_run.c,
// bpf_prog_test_run_skb.
#include <algorithm>

#include <fmt/format.h>

#include <weir/kernel/ebpf.h>

#include "map_output.h"
#include "prog_verbs.h"
#include "run_verb.h"
#include "terminal.h"

namespace weir::tool {
namespace {

using Bytes = std::vector<std::uint8_t>;
using ebpf::ProgramType;

// Their test run takes what r1 points to, and no packet.
bool takes_context(ProgramType type) { return type == ProgramType::kRawTracepoint || type == ProgramType::kSyscall; }

std::string source_name(const RunOptions& options) { return options.file == "-" ? "standard input" : options.file; }

class KernelRunner {
 public:
  KernelRunner(const RunOptions& options, LoadedPrograms loaded, ProgramType type)
      : options_(options), loaded_(std::move(loaded)), type_(type), results_(options, type) {}

  int memory(const Bytes& bytes) { return finish(one(bytes, 0)); }

  int capture() {
    int status = kYes;
    const Status read = each_packet(options_.capture, [&](const packet::Packet& packet, std::uint64_t number) {
      status = std::max(status, one({packet.data, packet.length}, number));
      return !hopeless_;
    });
    status = finish(status);
    return read ? status : report(read.error());
  }

 private:
  int one(ByteSpan bytes, std::uint64_t number) {
    kernel::TestRun run;
    if (takes_context(type_)) run.context = bytes;
    else run.input = packet_for_test(type_, bytes, packet_);
    const Result<kernel::TestResult> ran = loaded_.programs.front().program.test_run(run);
    if (ran) return results_.add(number, ran->value, 0);
    Error error = ran.error();
    error.source = number > 0 ? fmt::format("{}, packet {}", options_.capture, number) : source_name(options_);
    constexpr int kNotSupported = 524;  // ENOTSUPP
    hopeless_ = error.system_error == kNotSupported || error.system_error == EOPNOTSUPP;
    if (hopeless_) error.hint = fmt::format("the kernel cannot test programs of type {}", ebpf::name_of(type_));
    else if (error.system_error == EINVAL && bytes.empty())
      error.hint = "programs on packets need one: --mem, --mem-hex or --pcap";
    else if (error.system_error == EINVAL && bytes.size() < kEthernetHeader && !loses_header(type_))
      error.hint = "the kernel wants an Ethernet header, 14 bytes at least";
    else if (error.system_error == EINVAL || error.system_error == ENOMEM)
      error.hint = fmt::format("the kernel's test run takes no packet of {} bytes", bytes.size());
    report(error);
    results_.add_fault(number, "kernel", {{"message", ran.error().message}});
    return kBadInput;
  }

  int finish(int status) {
    const std::string& name = loaded_.programs.front().name;
    if (!options_.maps) return results_.finish(name, "kernel", status, {}, "");
    MapOutput maps;
    for (LoadedPrograms::Map& map : loaded_.maps) maps.add(map, loaded_);
    return results_.finish(name, "kernel", status, maps.json(), maps.text());
  }

  const RunOptions& options_;
  LoadedPrograms loaded_;
  ProgramType type_;
  RunResults results_;
  Bytes packet_;
  bool hopeless_ = false;  // no other packet will fare better
};

Status add_tail_calls(const RunOptions& options, const ExtendedInput& input, LoadedPrograms& loaded) {
  for (const std::string& text : options.tail_calls) {
    WEIR_TRY(const TailCall call, read_tail_call(input, text));
    const auto map = std::find_if(loaded.maps.begin(), loaded.maps.end(),
                                  [&](const LoadedPrograms::Map& one) { return one.name == call.array; });
    const auto target =
        std::find_if(loaded.programs.begin(), loaded.programs.end(),
                     [&](const LoadedPrograms::Program& one) { return one.name == call.program->name; });
    if (map == loaded.maps.end() || target == loaded.programs.end())
      return fail(Error{.code = ErrorCode::kUsage,
                        .message = fmt::format("there is no map '{}'", call.array),
                        .source = "--tail-call"});
    WEIR_CHECK(set_slot(map->map, call.index, target->program.descriptor()));
  }
  return {};
}

}  // namespace

bool sees_no_link_layer(ProgramType type) {
  switch (type) {
    case ProgramType::kCgroupSkb:
    case ProgramType::kLwtIn:
    case ProgramType::kLwtOut:
    case ProgramType::kLwtXmit:
    case ProgramType::kLwtSeg6local: return true;
    default: return false;
  }
}

bool loses_header(ProgramType type) { return type == ProgramType::kSocketFilter || sees_no_link_layer(type); }

// What begins as an IP packet is one, unless it goes on as an Ethernet frame that holds one.
NetworkPart network_part(ByteSpan packet) {
  constexpr std::uint16_t kIpv4 = 0x0800, kIpv6 = 0x86dd;
  const auto protocol_at = [&](std::size_t at) -> std::uint16_t {
    const int version = at < packet.size() ? packet[at] >> 4 : 0;
    return version == 4 ? kIpv4 : version == 6 ? kIpv6 : std::uint16_t{0};
  };
  const std::uint16_t first = protocol_at(0);
  if (packet.size() < kEthernetHeader) return {0, first};
  const auto named = static_cast<std::uint16_t>(packet[12] << 8 | packet[13]);
  if (first != 0 && (named == 0 || named != protocol_at(kEthernetHeader))) return {0, first};
  return {kEthernetHeader, named};
}

ByteSpan packet_for_test(ProgramType type, ByteSpan packet, Bytes& room) {
  if (!loses_header(type)) return packet;
  const bool whole = !sees_no_link_layer(type);
  const NetworkPart part = network_part(packet);
  if (!whole && part.begin != 0) return packet;
  room.assign(kEthernetHeader, 0);
  if (!whole) {
    room[12] = static_cast<std::uint8_t>(part.protocol >> 8);
    room[13] = static_cast<std::uint8_t>(part.protocol);
  } else if (packet.size() >= kEthernetHeader) {
    std::copy_n(packet.begin() + 12, 2, room.begin() + 12);
  }
  room.insert(room.end(), packet.begin(), packet.end());
  return room;
}

Result<ProgramType> kernel_type(const RunOptions& options, const ebpf::Program& program) {
  const See sees_alone = what_it_sees(RunOptions(), program);
  if (options.context == "xdp") return ProgramType::kXdp;
  if (options.context == "socket") return sees_alone == See::kSocket ? program.type : ProgramType::kSocketFilter;
  if (options.context == "memory" || program.type == ProgramType::kUnspec)
    return fail(Error{.code = ErrorCode::kUsage,
                      .message = "the kernel has no programs that see plain memory",
                      .source = source_name(options),
                      .hint = "say what it sees: --context xdp or socket, or '.program xdp NAME' in assembler text"});
  return program.type;
}

int run_in_kernel(const RunOptions& options, const ExtendedInput& input, const ebpf::Program& program,
                  const std::string& text, const std::vector<std::uint8_t>& memory) {
  const Result<ProgramType> type = kernel_type(options, program);
  if (!type) return report(type.error());
  // Tail calls need the other programs too.
  FileLoadOptions with{.all = !options.tail_calls.empty() || fills_programs(input)};
  if (options.tail_calls.empty()) with.only = program.name;
  if (*type != program.type) with.type = ebpf::name_of(*type);
  Result<LoadedPrograms> loaded = load_input(options.file, input, text, with);
  if (!loaded) return report(loaded.error());
  const auto chosen = std::find_if(loaded->programs.begin(), loaded->programs.end(),
                                   [&](const LoadedPrograms::Program& one) { return one.name == program.name; });
  if (chosen != loaded->programs.end()) std::iter_swap(loaded->programs.begin(), chosen);
  if (const Status added = add_tail_calls(options, input, *loaded); !added) return report(added.error());
  KernelRunner runner(options, std::move(*loaded), *type);
  return options.capture.empty() ? runner.memory(memory) : runner.capture();
}

}  // namespace weir::tool
