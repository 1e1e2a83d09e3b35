// The parts of `weir run`: what was asked for, how results are shown, and the run in the kernel.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <weir/base/error.h>
#include <weir/debug/extended_session.h>
#include <weir/packet/packet.h>
#include <weir/runtime/map.h>

#include "extended_input.h"

namespace weir::tool {

struct RunOptions {
  std::string file{};
  std::string program{};
  std::string memory{};
  std::string memory_hex{};
  std::string capture{};
  std::string engine = "auto";
  std::string context = "auto";
  std::uint64_t budget = 1'000'000'000;
  std::vector<std::string> tail_calls{};
  bool allow_callx = false;
  bool verify = false;
  bool maps = false;
  bool json = false;
};

// What the program's first argument is.
using See = debug::Sight;
See what_it_sees(const RunOptions& options, const ebpf::Program& program);

// ARRAY:INDEX=PROGRAM
struct TailCall {
  std::string array{};
  std::uint32_t index = 0;
  const ebpf::Program* program = nullptr;
};
Result<TailCall> read_tail_call(const ExtendedInput& input, const std::string& text);

// Results as they come: a line each, or rows of one JSON object at the end. Packets have numbers from 1; 0: there is
// only one piece of memory.
class RunResults {
 public:
  // `type`: what gives results their names.
  RunResults(const RunOptions& options, ebpf::ProgramType type) : options_(options), type_(type) {}

  // Returns the exit status that printing gave.
  int add(std::uint64_t number, std::uint64_t value, std::uint64_t steps);
  // `more`: further fields of the row.
  void add_fault(std::uint64_t number, std::string_view fault, const nlohmann::json& more);
  int finish(std::string_view program, std::string_view engine, int status, const nlohmann::json& maps,
             const std::string& maps_text);

 private:
  const RunOptions& options_;
  ebpf::ProgramType type_;
  nlohmann::json rows_ = nlohmann::json::array();
};

// Calls `use` with each packet and its number until it returns false.
Status each_packet(const std::string& capture, const std::function<bool(const packet::Packet&, std::uint64_t)>& use);

// As which type the kernel shall load it; an error where it is none of a kernel's.
Result<ebpf::ProgramType> kernel_type(const RunOptions& options, const ebpf::Program& program);

// The kernel's test run takes an Ethernet header off before it shows a packet to programs of some types. Where that
// would be a part of the packet that the program sees they are given one more, in `room`; else this is `packet` itself.
bool loses_header(ebpf::ProgramType type);
ByteSpan packet_for_test(ebpf::ProgramType type, ByteSpan packet, std::vector<std::uint8_t>& room);
constexpr std::size_t kEthernetHeader = 14;

// Programs of control groups and routes see packets from the IP header on: without the Ethernet header that a packet
// may have in front.
bool sees_no_link_layer(ebpf::ProgramType type);
struct NetworkPart {
  std::size_t begin = 0;       // behind the Ethernet header, or 0
  std::uint16_t protocol = 0;  // EtherType; 0: not known
};
NetworkPart network_part(ByteSpan packet);

// The running kernel's test runs; `memory` where there is no capture. Returns the exit status.
int run_in_kernel(const RunOptions& options, const ExtendedInput& input, const ebpf::Program& program,
                  const std::string& text, const std::vector<std::uint8_t>& memory);

}  // namespace weir::tool
