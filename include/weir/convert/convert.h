// Classic programs as extended ones.
//
// The result gives the same verdict for every packet. Who runs it decides how packets are reached:
//   kPacket  weir's own engines and other user space: r1 is the packet's address, r2 its length
//   kXdp     XDP: r1 is struct xdp_md; every load is preceded by a comparison with data_end, as the verifier wants it
//   kSocket  socket filters and tc: r1 is struct __sk_buff; loads are ldabs and ldind, which the kernel keeps for this.
//            They end the program with 0; where no match is another result (of tc), the length is compared before
//   kKernel  inside of the kernel: what its own converter makes, with pointers into struct sk_buff. No verifier takes
//            it; it is for reading and for comparing. Offsets and functions are those of KernelLayout
// A program for seccomp (checked for Target::kSeccomp) reads struct seccomp_data at r1 in all of them.
// Source: net/core/filter.c, bpf_convert_filter.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <weir/base/error.h>
#include <weir/cbpf/program.h>
#include <weir/ebpf/program.h>

namespace weir::convert {

enum class Context : std::uint8_t { kPacket, kXdp, kSocket, kKernel };

// Where struct sk_buff and struct net_device keep things, and the numbers of the kernel's private functions: both
// differ from build to build, so these are stand-ins, those of the recorded conversions.
struct KernelLayout {
  std::int16_t device = 16;
  std::int16_t length = 112;
  std::int16_t data_length = 116;
  std::int16_t packet_type = 128;
  std::int16_t mark = 132;
  std::int16_t hash = 136;
  std::int16_t queue = 140;
  std::int16_t vlan_tci = 142;
  std::int16_t vlan_protocol = 144;
  std::int16_t protocol = 146;
  std::int16_t vlan_present = 148;
  std::int16_t data = 192;
  std::int16_t device_index = 224;  // in struct net_device
  std::int16_t device_type = 528;
  std::int32_t pay_offset = 9001;
  std::int32_t netlink_attribute = 9002;
  std::int32_t netlink_nested = 9003;
  std::int32_t processor = 9004;
  std::int32_t random = 9005;
  std::int32_t load_byte = 9006;
  std::int32_t load_half = 9007;
  std::int32_t load_word = 9008;
};

// What the program returns instead of its verdict.
struct Returns {
  std::int32_t match = 0;     // for verdicts other than 0
  std::int32_t no_match = 0;  // for 0
};

struct Options {
  Context context = Context::kPacket;
  std::optional<Returns> returns{};  // none: the verdict itself
  // kPacket, kXdp: where the network header is (14 for Ethernet), for loads relative to headers (SKF_NET_OFF,
  // SKF_LL_OFF). None: there are no headers, and such loads lie outside of the packet, as in weir's engines.
  std::optional<std::uint32_t> network_offset{};
  KernelLayout layout{};
  std::string name = "filter";
};

// The result's `lines` say where each classic instruction begins: line 1 is the first one; those without code have
// none. Errors carry the InstructionPlace of the classic instruction: an extension that the context does not know, or a
// jump that is too long once everything has grown.
Result<ebpf::Program> convert(const cbpf::Checked& program, const Options& options = {});

}  // namespace weir::convert
