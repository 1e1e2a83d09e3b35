// The running kernel as an engine: exact verdicts of classic programs over packets, without privilege.
//
//   auto runner = weir::kernel::VerdictRunner::create(checked);
//   weir::kernel::Verdict verdict = *runner->run(packet_bytes);
//
// Packets are datagrams of a socket pair, so the kernel's checker, its conversion and its interpreter or compiler do
// the work. Such a packet has bytes, and nothing beside them: proto, type, mark, queue, rxhash and the vlan extensions
// read as 0, and programs that read the device, the CPU, random numbers, or bytes relative to a header are refused
// with ErrorCode::kUnsupported. Packets of 256 KB pass; without privilege net.core.wmem_max is the limit. Movable; not
// synchronised: one thread runs one runner.
#pragma once

#include <cstdint>
#include <memory>

#include <weir/base/bytes.h>
#include <weir/base/error.h>
#include <weir/cbpf/program.h>

namespace weir::kernel {

struct Verdict {
  std::uint32_t value = 0;
  bool implicit = false;  // a load outside of the packet or a division by zero ended the program; value is 0
  friend bool operator==(const Verdict&, const Verdict&) = default;
};

class VerdictRunner {
 public:
  static Result<VerdictRunner> create(const cbpf::Checked& program);
  VerdictRunner(VerdictRunner&&) noexcept;
  VerdictRunner& operator=(VerdictRunner&&) noexcept;
  ~VerdictRunner();

  Result<Verdict> run(ByteSpan packet);

 private:
  class State;
  explicit VerdictRunner(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace weir::kernel
