// AF_XDP sockets of all queues of an interface, as one source. Exports open_xdp.
//
// The program is on the interface before the start, and lets everything pass: its gate, a word that the program and
// this process share, is closed. So opening needs privileges, starting and stopping need none; and no packet is lost by
// taking the program off while packets are on their way to a socket: after the gate is closed, they are read first.
#include <weir/capture/xdp.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

#include <weir/base/file.h>
#include <weir/kernel/ebpf.h>

#include "capture/live_interfaces.h"
#include "capture/xdp_program.h"
#include "capture/xdp_rings.h"

namespace weir::capture {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kMostTaken = 512;
constexpr std::uint32_t kContinued = 1;  // XDP_PKT_CONTD: the packet goes on in the next descriptor
// Packets that passed the gate before it was closed are in the ring after this time.
constexpr auto kGrace = std::chrono::milliseconds(20);
// Sockets wake their reader for each packet. A reader that waits a little finds many: it costs a tenth of the time.
constexpr int kLookMilliseconds = 500;  // how often a quiet interface is looked for
constexpr timespec kGather{0, 100'000};
constexpr std::uint64_t kOldest = 10'000'000'000;  // nanoseconds: what is older than this is no time

std::uint64_t nanoseconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000000000 + static_cast<std::uint64_t>(now.tv_nsec);
}

Error with_hint(Error error, const std::string& name) {
  error.message = fmt::format("cannot capture on '{}' with AF_XDP: {}", name, error.message);
  if (error.system_error == EPERM || error.system_error == EACCES)
    error.hint = "it needs the capabilities CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF: run as root";
  if (error.system_error == EBUSY || error.system_error == EEXIST)
    error.hint = fmt::format("another XDP program or AF_XDP socket is there: see 'ip link show {}'", name);
  return error;
}

// A word of memory that is also the value of an array map.
class Gate {
 public:
  Gate() = default;
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate() {
    if (word_ != nullptr) ::munmap(word_, page());
  }
  Status map(const kernel::Map& map) {
    void* const memory = ::mmap(nullptr, page(), PROT_READ | PROT_WRITE, MAP_SHARED, map.descriptor(), 0);
    if (memory == MAP_FAILED) return fail(system_failure("cannot map a map's memory", errno));
    word_ = static_cast<std::uint32_t*>(memory);
    return {};
  }
  void set(bool open) { __atomic_store_n(word_, open ? 1u : 0u, __ATOMIC_SEQ_CST); }

 private:
  static std::size_t page() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }
  std::uint32_t* word_ = nullptr;
};

class AllQueues final : public XdpSource {
 public:
  AllQueues(std::string name, const XdpOptions& options) : options_(options) { name_ = std::move(name); }

  Status open() {
    WEIR_TRY(facts_, find_interface(name_));
    if (facts_.index == 0)
      return fail(Error{
          .code = ErrorCode::kUsage, .message = "AF_XDP has no interface 'any'", .hint = "name interfaces one by one"});
    if (facts_.link_type != packet::LinkType::kEthernet)
      return fail(Error{
          .code = ErrorCode::kUnsupported,
          .message = fmt::format("cannot capture on '{}' with AF_XDP: its packets have no Ethernet header", name_)});
    wake_ = FileDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake_) return fail(system_failure("cannot make an event descriptor", errno));
    if (Status opened = open_queues(); !opened) return fail(with_hint(std::move(opened).error(), name_));
    if (Status made = make_maps(); !made) return fail(with_hint(std::move(made).error(), name_));
    if (Status attached = attach_first(); !attached) return fail(with_hint(std::move(attached).error(), name_));
    if (options_.promiscuous) WEIR_CHECK(set_promiscuous());
    interfaces_.push_back(Interface{.link_type = facts_.link_type,
                                    .snap_length = options_.snap_length,
                                    .ticks_per_second = 1000000000,
                                    .name = name_});
    sections_ = 1;
    return {};
  }

  Format format() const override { return Format::kPcapng; }
  bool cooked() const override { return false; }
  std::uint32_t fanout_group() const override { return 0; }
  bool native() const override { return native_; }
  std::uint32_t queues() const override { return static_cast<std::uint32_t>(queues_.size()); }
  bool zero_copy() const override {
    return std::all_of(queues_.begin(), queues_.end(), [](const XdpQueue& queue) { return queue.zero_copy(); });
  }

  Status attach(const cbpf::Checked& program) override {
    WEIR_TRY(const kernel::Program loaded, load(program));
    return link_->update(loaded);
  }

  Status attach_extended(int) override {
    return fail(Error{.code = ErrorCode::kUnsupported, .message = "AF_XDP takes classic programs only"});
  }

  Status start() override {
    gate_.set(true);
    return {};
  }

  void request_stop() override {
    stop_requested_.store(true, std::memory_order_relaxed);
    const std::uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);
  }

  Result<LiveStatistics> statistics() override {
    LiveStatistics sum;
    for (const XdpQueue& queue : queues_) {
      WEIR_TRY(const xdp_statistics now, queue.statistics());
      sum.dropped += now.rx_dropped + now.rx_ring_full;
    }
    sum.received = delivered_ + sum.dropped;
    return sum;
  }

  Result<Read> read(RecordBatch& batch) override {
    batch.clear();
    if (held_ != 0) queues_[current_].release(std::exchange(held_, 0));
    for (;;) {
      if (!stopping_ && stop_requested_.load(std::memory_order_relaxed)) begin_stop();
      for (std::size_t tried = 0; tried < queues_.size(); ++tried) {
        current_ = (current_ + 1) % queues_.size();
        take(queues_[current_], batch);
        if (!batch.packets.empty()) return Read::kMore;
      }
      WEIR_TRY(const bool ended, wait());
      if (ended) return Read::kEnd;
    }
  }

 private:
  Status open_queues() {
    const std::uint32_t told = told_queues();
    const std::uint64_t wanted = options_.ring_bytes / XdpQueue::kChunk / std::max(told, 1u);
    const auto chunks = static_cast<std::uint32_t>(std::bit_floor(std::clamp<std::uint64_t>(wanted, 64, 1u << 20)));
    for (std::uint32_t number = 0; told == 0 || number < told; ++number) {
      Result<XdpQueue> queue = XdpQueue::create(facts_.index, number, chunks);
      // Where the driver does not tell: the kernel refuses the first queue that is not there.
      if (!queue && told == 0 && number > 0 && queue.error().system_error == EINVAL) break;
      if (!queue) return fail(std::move(queue).error());
      queues_.push_back(std::move(*queue));
    }
    return {};
  }

  // How many queues the driver says that it receives with; 0: it does not tell.
  std::uint32_t told_queues() const {
    const FileDescriptor probe(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ethtool_channels channels{};
    channels.cmd = ETHTOOL_GCHANNELS;
    ifreq request{};
    std::strncpy(request.ifr_name, name_.c_str(), IFNAMSIZ - 1);
    request.ifr_data = reinterpret_cast<char*>(&channels);
    if (!probe || ::ioctl(probe.get(), SIOCETHTOOL, &request) != 0) return 0;
    return channels.rx_count + channels.combined_count;
  }

  Result<kernel::Program> load(const cbpf::Checked& filter) {
    WEIR_TRY(const ebpf::Program program, xdp_program(filter, queues()));
    const kernel::Map* const maps[] = {&maps_[0], &maps_[1]};
    return kernel::Program::load(program, {.maps = maps, .log_level = 0});
  }

  Status make_maps() {
    const cbpf::Checked none = *cbpf::check(cbpf::Program{cbpf::make(cbpf::Opcode::kRetK, 0)});
    WEIR_TRY(const ebpf::Program program, xdp_program(none, queues()));
    for (const ebpf::MapDefinition& definition : program.maps) {
      WEIR_TRY(kernel::Map map, kernel::Map::create(definition));
      maps_.push_back(std::move(map));
    }
    WEIR_CHECK(gate_.map(maps_[0]));
    for (std::uint32_t number = 0; number < queues(); ++number) {
      const auto socket = static_cast<std::uint32_t>(queues_[number].descriptor());
      WEIR_CHECK(maps_[1].set({reinterpret_cast<const std::uint8_t*>(&number), sizeof number},
                              {reinterpret_cast<const std::uint8_t*>(&socket), sizeof socket}));
    }
    return {};
  }

  // All packets match until attach() says more.
  Status attach_first() {
    WEIR_TRY(const kernel::Program program,
             load(*cbpf::check(cbpf::Program{cbpf::make(cbpf::Opcode::kRetK, options_.snap_length)})));
    const auto interface = static_cast<std::uint32_t>(facts_.index);
    if (options_.mode != XdpMode::kGeneric) {
      Result<kernel::Link> link = kernel::Link::create(program, interface, ebpf::AttachType::kXdp, XDP_FLAGS_DRV_MODE);
      native_ = link.has_value();
      if (link) link_ = std::move(*link);
      const int error = link ? 0 : link.error().system_error;
      // Nobody else's program gives way, in either mode.
      if (!link && (options_.mode == XdpMode::kNative || error == EBUSY || error == EEXIST || error == EPERM))
        return fail(std::move(link).error());
    }
    if (!link_) {
      WEIR_TRY(link_, kernel::Link::create(program, interface, ebpf::AttachType::kXdp, XDP_FLAGS_SKB_MODE));
    }
    return {};
  }

  Status set_promiscuous() {
    promiscuous_ = FileDescriptor(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    packet_mreq request{};
    request.mr_ifindex = facts_.index;
    request.mr_type = PACKET_MR_PROMISC;
    if (!promiscuous_ ||
        ::setsockopt(promiscuous_.get(), SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request) != 0)
      return fail(system_failure("cannot set promiscuous mode on '" + name_ + "'", errno));
    return {};
  }

  // Makes the next packets of the queue the batch.
  void take(XdpQueue& queue, RecordBatch& batch) {
    const std::uint32_t count = std::min(queue.waiting(), kMostTaken);
    if (count == 0) return;
    const std::uint64_t now = nanoseconds(CLOCK_REALTIME);
    const std::uint64_t to_real = now - nanoseconds(CLOCK_MONOTONIC);
    for (std::uint32_t at = 0; at < count;) {
      std::uint32_t end = at;
      while (end < count && (queue.peek(end).options & kContinued) != 0) ++end;
      // Packets of several parts come whole; a longer chain than a batch stays for the next one.
      if (end == count) break;
      add(queue, at, end, batch);
      std::uint64_t stamp = 0;
      std::memcpy(&stamp, queue.data(queue.peek(at)) - sizeof stamp, sizeof stamp);
      const std::uint64_t when = stamp + to_real;
      batch.records.push_back(
          {.ticks = stamp != 0 && when <= now && now - when < kOldest ? when : now, .as_is = false});
      at = end + 1;
      held_ = at;
    }
    delivered_ += batch.packets.size();
  }

  void add(const XdpQueue& queue, std::uint32_t first, std::uint32_t last, RecordBatch& batch) const {
    packet::Packet packet;
    packet.data = queue.data(queue.peek(first));
    packet.wire_length = queue.peek(first).len;
    if (last > first) {
      std::vector<std::uint8_t>& whole = batch.changed.emplace_back();
      for (std::uint32_t part = first; part <= last; ++part) {
        const xdp_desc& one = queue.peek(part);
        whole.insert(whole.end(), queue.data(one), queue.data(one) + one.len);
      }
      packet.data = whole.data();
      packet.wire_length = static_cast<std::uint32_t>(whole.size());
    }
    packet.length = std::min(packet.wire_length, options_.snap_length);
    batch.packets.push_back(packet);
  }

  // An interface that went away is an error of the socket, of which poll(2) does not tell.
  Status check_interface() const {
    for (const XdpQueue& queue : queues_) {
      int pending = 0;
      socklen_t size = sizeof pending;
      if (::getsockopt(queue.descriptor(), SOL_SOCKET, SO_ERROR, &pending, &size) == 0 && pending != 0)
        return fail(system_failure(fmt::format("capturing on '{}' ended", name_), pending));
    }
    return {};
  }

  void begin_stop() {
    gate_.set(false);
    stopping_ = true;
    closed_at_ = Clock::now();
  }

  // Waits for packets, or for the stop; true when all is handed out.
  Result<bool> wait() {
    if (stopping_ && Clock::now() > closed_at_ + kGrace) return true;
    std::vector<pollfd> waits = {{wake_.get(), static_cast<short>(stopping_ ? 0 : POLLIN), 0}};
    for (const XdpQueue& queue : queues_) waits.push_back({queue.descriptor(), POLLIN, 0});
    const int ready = ::poll(waits.data(), waits.size(), stopping_ ? 5 : kLookMilliseconds);
    if (ready < 0) {
      if (errno == EINTR) return false;
      return fail(system_failure("cannot wait for packets", errno));
    }
    if (ready == 0 && !stopping_) WEIR_CHECK(check_interface());
    if (!stopping_ && (waits[0].revents & POLLIN) != 0) return false;
    for (std::size_t i = 1; i < waits.size(); ++i)
      if ((waits[i].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0)
        return fail(system_failure(fmt::format("capturing on '{}' ended", name_), ENETDOWN));
    if (!stopping_ && std::all_of(queues_.begin(), queues_.end(), [](const XdpQueue& q) { return q.has_time(); }))
      (void)::nanosleep(&kGather, nullptr);
    return false;
  }

  XdpOptions options_;
  InterfaceFacts facts_;
  FileDescriptor wake_;
  FileDescriptor promiscuous_;
  std::vector<XdpQueue> queues_;
  std::vector<kernel::Map> maps_;
  Gate gate_;
  std::optional<kernel::Link> link_;  // goes before the sockets do
  bool native_ = false;
  std::size_t current_ = 0;
  std::uint32_t held_ = 0;  // descriptors of queues_[current_] that the batch of the last read() lies in
  std::atomic<bool> stop_requested_{false};
  bool stopping_ = false;
  Clock::time_point closed_at_{};
  std::uint64_t delivered_ = 0;
};

}  // namespace

Result<std::unique_ptr<XdpSource>> open_xdp(const std::string& interface, const XdpOptions& options) {
  auto made = std::make_unique<AllQueues>(interface, options);
  WEIR_CHECK(made->open());
  return made;
}

}  // namespace weir::capture
