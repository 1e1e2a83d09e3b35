// The fields of contexts: which bytes of the structure behind r1 a kind of program may read and write. Exports the
// tables of fields. Included by context.cpp alone.
//
// Offsets stand as numbers where older <linux/bpf.h> lack the member.
#pragma once

#include <linux/bpf.h>

#include <cstddef>

#include "verify/context.h"
#include "verify/families.h"

namespace weir::verify {

// Numbers: read in parts, written as a whole.
constexpr Field number(std::string_view name, std::size_t offset, std::size_t size, Families readers = kAll,
                       Families writers = 0) {
  return {.name = name,
          .offset = static_cast<std::uint16_t>(offset),
          .size = static_cast<std::uint16_t>(size),
          .element = static_cast<std::uint16_t>(size),
          .readers = readers,
          .writers = writers};
}
// Arrays of 32-bit words.
constexpr Field words(std::string_view name, std::size_t offset, std::size_t count, Families readers = kAll,
                      Families writers = 0) {
  Field field = number(name, offset, 4 * count, readers, writers);
  field.element = 4;
  return field;
}
constexpr Field in_pieces(Field field, Pieces reads, Pieces writes = Pieces::kWhole) {
  field.reads = reads;
  field.writes = writes;
  return field;
}
constexpr Field whole(Field field) { return in_pieces(field, Pieces::kWhole); }
constexpr Field pointer(std::string_view name, std::size_t offset, std::size_t size, FieldKind kind,
                        Families readers = kAll) {
  Field field = whole(number(name, offset, size, readers));
  field.kind = kind;
  return field;
}

#define WEIR_AT(type, member) #member, offsetof(type, member), sizeof(type::member)
constexpr Field kBufferFields[] = {
    number(WEIR_AT(__sk_buff, len), kBuffers),
    number(WEIR_AT(__sk_buff, pkt_type), kBuffers),
    number(WEIR_AT(__sk_buff, mark), kBuffers & ~kSkSkb, kMarkers),
    number(WEIR_AT(__sk_buff, queue_mapping), kBuffers, kTc),
    number(WEIR_AT(__sk_buff, protocol), kBuffers),
    number(WEIR_AT(__sk_buff, vlan_present), kBuffers),
    number(WEIR_AT(__sk_buff, vlan_tci), kBuffers),
    number(WEIR_AT(__sk_buff, vlan_proto), kBuffers),
    number(WEIR_AT(__sk_buff, priority), kBuffers, kMarkers | kSkSkb),
    number(WEIR_AT(__sk_buff, ingress_ifindex), kBuffers),
    number(WEIR_AT(__sk_buff, ifindex), kBuffers),
    number(WEIR_AT(__sk_buff, tc_index), kBuffers, kTc | kSkSkb),
    in_pieces(words("cb", offsetof(__sk_buff, cb), 5, kBuffers, kBuffers & ~kSkSkb), Pieces::kNarrowOrWide,
              Pieces::kNarrowOrWide),
    number(WEIR_AT(__sk_buff, hash), kBuffers),
    number(WEIR_AT(__sk_buff, tc_classid), kTc, kTc),
    pointer(WEIR_AT(__sk_buff, data), FieldKind::kData, (kBuffers & ~kSocket) | kDissector),
    pointer(WEIR_AT(__sk_buff, data_end), FieldKind::kDataEnd, (kBuffers & ~kSocket) | kDissector),
    number(WEIR_AT(__sk_buff, napi_id), kBuffers),
    number(WEIR_AT(__sk_buff, family), kCgroup | kSkSkb),
    whole(number(WEIR_AT(__sk_buff, remote_ip4), kCgroup | kSkSkb)),
    whole(number(WEIR_AT(__sk_buff, local_ip4), kCgroup | kSkSkb)),
    whole(words("remote_ip6", offsetof(__sk_buff, remote_ip6), 4, kCgroup | kSkSkb)),
    whole(words("local_ip6", offsetof(__sk_buff, local_ip6), 4, kCgroup | kSkSkb)),
    number(WEIR_AT(__sk_buff, remote_port), kCgroup | kSkSkb),
    number(WEIR_AT(__sk_buff, local_port), kCgroup | kSkSkb),
    pointer(WEIR_AT(__sk_buff, data_meta), FieldKind::kDataMeta, kTc),
    pointer("flow_keys", 144, 8, FieldKind::kFlowKeys, kDissector),
    whole(number(WEIR_AT(__sk_buff, tstamp), kTc | kCgroup, kTc | kCgroup)),
    number(WEIR_AT(__sk_buff, wire_len), kTc),
    number(WEIR_AT(__sk_buff, gso_segs), kBuffers),
    pointer("sk", 168, 8, FieldKind::kSocketCommonOrNull, kBuffers),
    number(WEIR_AT(__sk_buff, gso_size), kBuffers),
    whole(number(WEIR_AT(__sk_buff, tstamp_type), kTc)),
    whole(number(WEIR_AT(__sk_buff, hwtstamp), kTc | kCgroup)),
};
constexpr Field kXdpFields[] = {
    pointer(WEIR_AT(xdp_md, data), FieldKind::kData),
    pointer(WEIR_AT(xdp_md, data_end), FieldKind::kDataEnd),
    pointer(WEIR_AT(xdp_md, data_meta), FieldKind::kDataMeta),
    whole(number(WEIR_AT(xdp_md, ingress_ifindex))),
    whole(number(WEIR_AT(xdp_md, rx_queue_index))),
};
constexpr Field kDeviceFields[] = {
    number(WEIR_AT(bpf_cgroup_dev_ctx, access_type)),
    whole(number(WEIR_AT(bpf_cgroup_dev_ctx, major))),
    whole(number(WEIR_AT(bpf_cgroup_dev_ctx, minor))),
};
constexpr Field kSockFields[] = {
    whole(number(WEIR_AT(bpf_sock, bound_dev_if), kSockCreate, kSockCreate)),
    in_pieces(number(WEIR_AT(bpf_sock, family)), Pieces::kStart),
    in_pieces(number(WEIR_AT(bpf_sock, type)), Pieces::kStart),
    in_pieces(number(WEIR_AT(bpf_sock, protocol)), Pieces::kStart),
    whole(number(WEIR_AT(bpf_sock, mark), kSockCreate, kSockCreate)),
    whole(number(WEIR_AT(bpf_sock, priority), kSockCreate, kSockCreate)),
    number(WEIR_AT(bpf_sock, src_ip4), kPostBind4),
    words("src_ip6", offsetof(bpf_sock, src_ip6), 4, kPostBind6),
    in_pieces(number(WEIR_AT(bpf_sock, src_port), kPostBind4 | kPostBind6), Pieces::kStart),
    whole(number("dst_port", 48, 4)),  // with the 16 zeros after it
    number("dst_port", 48, 2),
    number(WEIR_AT(bpf_sock, dst_ip4)),
    words("dst_ip6", offsetof(bpf_sock, dst_ip6), 4),
    in_pieces(number(WEIR_AT(bpf_sock, state)), Pieces::kStart),
    in_pieces(number(WEIR_AT(bpf_sock, rx_queue_mapping)), Pieces::kStart),
};
// Behind a pointer to a socket: all that a context of sockets has, whatever the place.
constexpr Families kAnySocket = kSockCreate | kPostBind4 | kPostBind6;
constexpr Field kTcpFields[] = {
    whole(words("snd_cwnd", 0, offsetof(bpf_tcp_sock, bytes_received) / 4)),  // and the counters after it
    whole(number(WEIR_AT(bpf_tcp_sock, bytes_received))),
    whole(number(WEIR_AT(bpf_tcp_sock, bytes_acked))),
    whole(words("dsack_dups", offsetof(bpf_tcp_sock, dsack_dups),
                (sizeof(bpf_tcp_sock) - offsetof(bpf_tcp_sock, dsack_dups)) / 4)),
};
constexpr Field kAddressFields[] = {
    whole(number(WEIR_AT(bpf_sock_addr, user_family))),
    number(WEIR_AT(bpf_sock_addr, user_ip4), kAddress4, kAddress4),
    in_pieces(words("user_ip6", offsetof(bpf_sock_addr, user_ip6), 4, kAddress6, kAddress6), Pieces::kNarrowOrWide,
              Pieces::kWholeOrWide),
    number(WEIR_AT(bpf_sock_addr, user_port), kAll, kAll),
    whole(number(WEIR_AT(bpf_sock_addr, family))),
    whole(number(WEIR_AT(bpf_sock_addr, type))),
    whole(number(WEIR_AT(bpf_sock_addr, protocol))),
    number(WEIR_AT(bpf_sock_addr, msg_src_ip4), kSend4, kSend4),
    in_pieces(words("msg_src_ip6", offsetof(bpf_sock_addr, msg_src_ip6), 4, kSend6, kSend6), Pieces::kNarrowOrWide,
              Pieces::kWholeOrWide),
    pointer("sk", 64, 8, FieldKind::kSocket),
};
constexpr Field kSockOpsFields[] = {
    whole(number("op", 0, 4)),
    whole(number("reply", 4, 4, kAll, kAll)),
    whole(words("args", 8, 3)),
    whole(words("family", 20, 36)),  // and the addresses, ports and counters after it
    whole(number("sk_txhash", 164, 4, kAll, kAll)),
    whole(number("bytes_received", 168, 8)),
    whole(number("bytes_acked", 176, 8)),
    pointer("sk", 184, 8, FieldKind::kSocketOrNull),
    pointer("skb_data", 192, 8, FieldKind::kData),
    pointer("skb_data_end", 200, 8, FieldKind::kDataEnd),
    whole(number("skb_len", 208, 4)),
    in_pieces(number("skb_tcp_flags", 212, 4), Pieces::kStart),
    whole(number("skb_hwtstamp", 216, 8)),
};
constexpr Field kMessageFields[] = {
    pointer("data", 0, 8, FieldKind::kData),
    pointer("data_end", 8, 8, FieldKind::kDataEnd),
    whole(words("family", 16, 14)),  // and addresses, ports and the size after it
    pointer("sk", 72, 8, FieldKind::kSocket),
};
constexpr Field kReuseportFields[] = {
    pointer("data", 0, 8, FieldKind::kData),
    pointer("data_end", 8, 8, FieldKind::kDataEnd),
    number("len", 16, 4),
    in_pieces(number("eth_protocol", 20, 4), Pieces::kHalves),
    number("ip_protocol", 24, 4),
    number("bind_inany", 28, 4),
    whole(number("hash", 32, 4)),
    pointer("sk", 40, 8, FieldKind::kSocket),
    pointer("migrating_sk", 48, 8, FieldKind::kSocketCommonOrNull),
};
constexpr Field kLookupFields[] = {
    pointer("sk", 0, 8, FieldKind::kSocketOrNull),
    number("family", 8, 4),
    number("protocol", 12, 4),
    number("remote_ip4", 16, 4),
    words("remote_ip6", 20, 4),
    number("remote_port", 36, 4),
    number("local_ip4", 40, 4),
    words("local_ip6", 44, 4),
    number("local_port", 60, 4),
    number("ingress_ifindex", 64, 4),
};
constexpr Field kSysctlFields[] = {
    number(WEIR_AT(bpf_sysctl, write)),
    number(WEIR_AT(bpf_sysctl, file_pos), kAll, kAll),
};
constexpr Field kOptionFields[] = {
    pointer("sk", 0, 8, FieldKind::kSocket),
    pointer("optval", 8, 8, FieldKind::kData),
    pointer("optval_end", 16, 8, FieldKind::kDataEnd),
    whole(number("level", 24, 4, kAll, kSetOption)),
    whole(number("optname", 28, 4, kAll, kSetOption)),
    whole(number("optlen", 32, 4, kAll, kGetOption | kSetOption)),
    whole(number("retval", 36, 4, kGetOption, kGetOption)),
};
constexpr Field kNetfilterFields[] = {
    pointer("state", 0, 8, FieldKind::kObject),
    pointer("skb", 8, 8, FieldKind::kObject),
};
#undef WEIR_AT

#if defined(__aarch64__)
constexpr std::uint32_t kRegistersSize = 272;  // struct user_pt_regs
#else
constexpr std::uint32_t kRegistersSize = 168;  // struct pt_regs of x86-64
#endif
constexpr Field kPerfFields[] = {
    {.name = "regs",
     .offset = 0,
     .size = kRegistersSize,
     .element = 8,
     .reads = Pieces::kWhole,
     .readers = kAll,
     .writers = 0},
    number("sample_period", kRegistersSize, 8),
    number("addr", kRegistersSize + 8, 8),
};

}  // namespace weir::verify
