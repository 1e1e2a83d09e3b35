// A packet socket with its ring, as a source. Exports open_live.
//
// The order keeps stray packets out: the socket is made for no protocol, so nothing arrives; a filter that drops all is
// attached; then the ring, the bind and the fanout group; start() replaces the filter by the wanted one in one step.
// Stopping goes the same way back: the filter that drops all closes the inflow, and the ring is read until as many
// packets were seen as the kernel counted, so what came before the stop is not lost.
//
// What is done in place, in the room that PACKET_RESERVE leaves before each packet: a VLAN tag that the kernel keeps
// beside the packet is put back behind the addresses, and a cooked packet gets its SLL2 header.
#include <weir/capture/live.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>

#include <weir/base/file.h>
#include <weir/kernel/socket_filter.h>

#include "capture/live_interfaces.h"
#include "capture/ring.h"

namespace weir::capture {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::uint32_t kTag = 4;
constexpr std::uint32_t kLongestKept = 262144 - 256;
// Longest wait for packets that the kernel counted but has not handed over.
constexpr auto kLongestDrain = std::chrono::seconds(2);
constexpr int kIgnoreOutgoing = 23;  // PACKET_IGNORE_OUTGOING, Linux 4.20

Error cannot_open(const std::string& name, int error) {
  Error made = system_failure(fmt::format("cannot capture on '{}'", name), error);
  if (error == EPERM || error == EACCES)
    made.hint = "it needs the capability CAP_NET_RAW: run as root, or once 'setcap cap_net_raw+ep' on the program";
  return made;
}

// The kernel tells of an interface that was removed only that it is down.
Error interface_lost(const std::string& name, int error) {
  if (error != ENETDOWN) return system_failure(fmt::format("capturing on '{}' ended", name), error);
  const bool removed = ::if_nametoindex(name.c_str()) == 0 && errno != EMFILE && errno != ENFILE;
  return {
      .code = ErrorCode::kSystem,
      .message = fmt::format("capturing on '{}' ended: the interface {}", name, removed ? "was removed" : "is down"),
      .system_error = error};
}

cbpf::Checked keep(std::uint32_t bytes) { return *cbpf::check(cbpf::Program{cbpf::make(cbpf::Opcode::kRetK, bytes)}); }

template <typename T>
void put_be(std::uint8_t* at, T value) {
  store(at, value, std::endian::big);
}

class PacketSocket final : public LiveSource {
 public:
  PacketSocket(std::string name, const LiveOptions& options) : options_(options) { name_ = std::move(name); }

  Status open() {
    WEIR_TRY(facts_, find_interface(name_));
    cooked_ = facts_.link_type == kCookedLinkType;
    socket_ = FileDescriptor(::socket(AF_PACKET, (cooked_ ? SOCK_DGRAM : SOCK_RAW) | SOCK_CLOEXEC, 0));
    if (!socket_) return fail(cannot_open(name_, errno));
    wake_ = FileDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake_) return fail(system_failure("cannot make an event descriptor", errno));
    WEIR_CHECK(kernel::attach(socket_.get(), keep(0)));
    WEIR_CHECK(prepare_ring());
    WEIR_CHECK(bind_socket());
    loopback_index_ = static_cast<int>(::if_nametoindex("lo"));
    interfaces_.push_back(Interface{.link_type = facts_.link_type,
                                    .snap_length = options_.snap_length,
                                    .ticks_per_second = 1000000000,
                                    .name = name_});
    sections_ = 1;
    return {};
  }

  Format format() const override { return Format::kPcapng; }
  bool cooked() const override { return cooked_; }
  std::uint32_t fanout_group() const override { return fanout_group_; }

  Status attach(const cbpf::Checked& program) override {
    const bool only_out = options_.direction == Direction::kOut;
    if (!only_out) {
      program_ = program;
    } else {
      WEIR_TRY(program_, only_outgoing(program));
    }
    return started_ ? kernel::attach(socket_.get(), *program_) : Status();
  }

  Status attach_extended(int program_descriptor) override {
    extended_ = FileDescriptor(::dup(program_descriptor));
    if (!extended_) return fail(system_failure("cannot take over the program", errno));
    return started_ ? kernel::attach_extended(socket_.get(), extended_.get()) : Status();
  }

  Status start() override {
    started_ = true;
    if (extended_) return kernel::attach_extended(socket_.get(), extended_.get());
    if (!program_) WEIR_CHECK(attach(keep(options_.snap_length)));
    return kernel::attach(socket_.get(), *program_);
  }

  void request_stop() override {
    stop_requested_.store(true, std::memory_order_relaxed);
    const std::uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);
  }

  Result<LiveStatistics> statistics() override {
    // Reading sets the kernel's counters to 0.
    tpacket_stats_v3 now{};
    socklen_t size = sizeof now;
    if (::getsockopt(socket_.get(), SOL_PACKET, PACKET_STATISTICS, &now, &size) != 0)
      return fail(system_failure("cannot read the statistics of '" + name_ + "'", errno));
    statistics_.received += now.tp_packets;
    statistics_.dropped += now.tp_drops;
    statistics_.freezes += now.tp_freeze_q_cnt;
    return statistics_;
  }

  Result<Read> read(RecordBatch& batch) override {
    // Packets and records keep their places: all of each is written anew.
    batch.changed.clear();
    batch.blocks.clear();
    if (held_) ring_.release();
    held_ = false;
    for (;;) {
      // Under load there is always a block, and nobody waits.
      if (!stopping_ && stop_requested_.load(std::memory_order_relaxed)) WEIR_CHECK(begin_stop());
      if (tpacket_block_desc* const block = ring_.ready()) {
        take(*block, batch);
        if (!batch.packets.empty()) {
          held_ = true;
          return Read::kMore;
        }
        ring_.release();
        continue;
      }
      WEIR_TRY(const bool ended, wait());
      if (ended) batch.clear();
      if (ended && lost_ != 0) return fail(interface_lost(name_, lost_));
      if (ended) return Read::kEnd;
    }
  }

 private:
  Status prepare_ring() {
    const std::uint32_t reserve = cooked_ ? kCookedHeader : kTag;
    if (::setsockopt(socket_.get(), SOL_PACKET, PACKET_RESERVE, &reserve, sizeof reserve) != 0)
      return fail(system_failure("cannot reserve room in the ring", errno));
    const int on = 1;
    const bool ignore_outgoing =
        options_.direction == Direction::kIn || (options_.direction == Direction::kBoth && facts_.loopback);
    // Loopback shows each packet twice, going out and coming in; once is enough.
    if (ignore_outgoing && ::setsockopt(socket_.get(), SOL_PACKET, kIgnoreOutgoing, &on, sizeof on) != 0)
      return fail(system_failure("this kernel cannot leave outgoing packets out", errno));
    // Headers of the ring, of the link layer and what is reserved: 128 bytes hold them. A block holds the longest
    // packet; of a longest snap length the last bytes are given up, so that a small ring has blocks of 256 KiB, not of
    // 512.
    WEIR_TRY(ring_, Ring::create(socket_.get(), {.bytes = options_.ring_bytes,
                                                 .block_bytes = options_.block_bytes,
                                                 .frame_bytes = std::min(options_.snap_length, kLongestKept) + 128,
                                                 .wait_milliseconds = options_.wait_milliseconds}));
    return {};
  }

  Status bind_socket() {
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = byte_swap(std::uint16_t{ETH_P_ALL});
    if constexpr (std::endian::native == std::endian::big) address.sll_protocol = ETH_P_ALL;
    address.sll_ifindex = facts_.index;
    if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      return fail(cannot_open(name_, errno));
    int pending = 0;
    socklen_t size = sizeof pending;
    if (::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &pending, &size) == 0 && pending != 0) {
      Error error = cannot_open(name_, pending);
      if (pending == ENETDOWN) error.hint = fmt::format("bring it up with 'ip link set {} up'", name_);
      return fail(std::move(error));
    }
    if (options_.promiscuous && facts_.index != 0) {
      packet_mreq request{};
      request.mr_ifindex = facts_.index;
      request.mr_type = PACKET_MR_PROMISC;
      if (::setsockopt(socket_.get(), SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request) != 0)
        return fail(system_failure("cannot set promiscuous mode on '" + name_ + "'", errno));
    }
    return join_fanout();
  }

  Status join_fanout() {
    if (options_.fanout == Fanout::kNone) return {};
    static constexpr int kModes[] = {0, PACKET_FANOUT_HASH, PACKET_FANOUT_LB, PACKET_FANOUT_CPU, PACKET_FANOUT_QM};
    constexpr unsigned kUnique = 0x2000;  // PACKET_FANOUT_FLAG_UNIQUEID: the kernel picks a free number
    unsigned mode = static_cast<unsigned>(kModes[static_cast<int>(options_.fanout)]);
    if (!options_.fanout_group) mode |= kUnique;
    const unsigned value = (options_.fanout_group.value_or(0) & 0xffff) | mode << 16;
    if (::setsockopt(socket_.get(), SOL_PACKET, PACKET_FANOUT, &value, sizeof value) != 0)
      return fail(system_failure("cannot share the packets of '" + name_ + "' between sockets", errno));
    unsigned joined = 0;
    socklen_t size = sizeof joined;
    if (::getsockopt(socket_.get(), SOL_PACKET, PACKET_FANOUT, &joined, &size) != 0)
      return fail(system_failure("cannot ask for the fanout group", errno));
    fanout_group_ = joined & 0xffff;
    return {};
  }

  // Appends the packets of a block to the batch.
  void take(tpacket_block_desc& block, RecordBatch& batch) {
    const std::uint32_t count = block.hdr.bh1.num_pkts;
    delivered_ += count;
    batch.packets.resize(count);
    batch.records.resize(count);
    std::size_t taken = 0;
    auto* at = reinterpret_cast<std::uint8_t*>(&block) + block.hdr.bh1.offset_to_first_pkt;
    for (std::uint32_t i = 0; i < count; ++i) {
      auto* const header = reinterpret_cast<tpacket3_hdr*>(at);
      std::uint8_t* const next = at + header->tp_next_offset;
      // Slots are mostly alike: what lies some of them ahead is on its way while this one is read.
      std::uint8_t* const ahead = at + 6 * (next - at);
      __builtin_prefetch(ahead);
      __builtin_prefetch(ahead + 64);
      __builtin_prefetch(ahead + 128);
      taken += take_packet(at, *header, batch.packets[taken], batch.records[taken]);
      at = next;
    }
    batch.packets.resize(taken);
    batch.records.resize(taken);
  }

  bool take_packet(std::uint8_t* slot, const tpacket3_hdr& header, packet::Packet& packet, Record& record) {
    std::uint8_t* data = slot + header.tp_mac;
    std::uint32_t length = header.tp_snaplen;
    std::uint32_t wire = header.tp_len;
    if (cooked_) {
      const auto& from = *reinterpret_cast<const sockaddr_ll*>(slot + TPACKET_ALIGN(sizeof(tpacket3_hdr)));
      // Of the two views that loopback gives of a packet, the outgoing one is left out.
      if (facts_.index == 0 && from.sll_ifindex == loopback_index_ && from.sll_pkttype == PACKET_OUTGOING &&
          options_.direction != Direction::kOut)
        return false;
      data -= kCookedHeader;
      write_cooked_header(data, from);
      length += kCookedHeader;
      wire += kCookedHeader;
    } else if ((header.tp_status & TP_STATUS_VLAN_VALID) != 0 && length >= 12) {
      const bool known = (header.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0;
      std::memmove(data - kTag, data, 12);
      data -= kTag;
      put_be<std::uint16_t>(data + 12, known ? header.hv1.tp_vlan_tpid : std::uint16_t{0x8100});
      put_be<std::uint16_t>(data + 14, static_cast<std::uint16_t>(header.hv1.tp_vlan_tci));
      length += kTag;
      wire += kTag;
    }
    packet.data = data;
    packet.length = std::min(length, options_.snap_length);
    packet.wire_length = wire;
    packet.metadata = nullptr;
    record.ticks = std::uint64_t{header.tp_sec} * 1000000000 + header.tp_nsec;
    record.interface = 0;
    record.as_is = false;
    return true;
  }

  static void write_cooked_header(std::uint8_t* at, const sockaddr_ll& from) {
    const sockaddr_ll copy = from;  // the header may reach into the address
    std::memcpy(at, &copy.sll_protocol, 2);
    put_be<std::uint16_t>(at + 2, 0);
    put_be<std::uint32_t>(at + 4, static_cast<std::uint32_t>(copy.sll_ifindex));
    put_be<std::uint16_t>(at + 8, copy.sll_hatype);
    at[10] = copy.sll_pkttype;
    at[11] = copy.sll_halen;
    std::memcpy(at + 12, copy.sll_addr, 8);
  }

  // Waits for a block, or for the stop; true when all is handed out.
  Result<bool> wait() {
    if (stopping_) {
      WEIR_TRY(const LiveStatistics so_far, statistics());
      if (delivered_ + so_far.dropped >= so_far.received || Clock::now() > give_up_) return true;
    }
    pollfd waits[2] = {{socket_.get(), POLLIN | POLLERR, 0}, {wake_.get(), POLLIN, 0}};
    const int timeout = stopping_ ? 5 : -1;
    if (::poll(waits, stopping_ ? 1 : 2, timeout) < 0) {
      if (errno == EINTR) return false;
      return fail(system_failure("cannot wait for packets", errno));
    }
    if (!stopping_ && (waits[1].revents & POLLIN) != 0) return false;
    if ((waits[0].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) return lost_interface();
    return false;
  }

  Status begin_stop() {
    WEIR_CHECK(kernel::attach(socket_.get(), keep(0)));
    stopping_ = true;
    give_up_ = Clock::now() + kLongestDrain;
    return {};
  }

  Result<bool> lost_interface() {
    int pending = 0;
    socklen_t size = sizeof pending;
    (void)::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &pending, &size);
    if (pending == 0) return false;
    // What is in the ring comes first.
    if (!stopping_ && pending == ENETDOWN) {
      WEIR_CHECK(begin_stop());
      lost_ = pending;
      return false;
    }
    return fail(interface_lost(name_, pending));
  }

  LiveOptions options_;
  InterfaceFacts facts_;
  bool cooked_ = false;
  int loopback_index_ = 0;
  FileDescriptor socket_;
  FileDescriptor wake_;
  Ring ring_;
  std::optional<cbpf::Checked> program_;
  FileDescriptor extended_;
  std::uint32_t fanout_group_ = 0;
  bool started_ = false;
  bool held_ = false;  // the batch of the last read() lies in the ring's next block
  bool stopping_ = false;
  std::atomic<bool> stop_requested_{false};
  int lost_ = 0;
  Clock::time_point give_up_{};
  std::uint64_t delivered_ = 0;
  LiveStatistics statistics_;
};

}  // namespace

Result<std::unique_ptr<LiveSource>> open_live(const std::string& interface, const LiveOptions& options) {
  auto made = std::make_unique<PacketSocket>(interface, options);
  WEIR_CHECK(made->open());
  return made;
}

}  // namespace weir::capture
