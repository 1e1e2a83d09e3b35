// What programs of each kind see through r1, and what they may return. Exports find_layout,
// kernel_helper.
//
// A Layout is a structure with named fields, or flat memory that is read in aligned pieces. Programs of one type that
// attach to different places may see different fields of one structure: each such place is a family, a bit of its own.
// Source: <linux/bpf.h>; net/core/filter.c, bpf_skb_is_valid_access and those around it; kernel/trace/bpf_trace.c;
// tests/context_agreement_test.cpp asks the running kernel about each byte.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <weir/ebpf/program.h>
#include <weir/runtime/helpers.h>

namespace weir::verify {

// Kinds of programs, a bit each.
using Families = std::uint64_t;

// kObject: a pointer to a structure of the kernel which is not followed here.
enum class FieldKind : std::uint8_t {
  kNumber,
  kData,
  kDataEnd,
  kDataMeta,
  kSocket,
  kSocketOrNull,
  kSocketCommonOrNull,
  kFlowKeys,
  kObject
};

// How a field is accessed; always aligned, and all within it.
enum class Pieces : std::uint8_t {
  kWhole,         // elements
  kNarrow,        // elements and parts of them
  kNarrowOrWide,  // and two elements at once
  kWholeOrWide,   // elements, and two at once
  kStart,         // parts too, but from its first byte on
  kHalves,        // elements and halves of them
};

struct Field {
  std::string_view name{};
  std::uint16_t offset = 0;
  std::uint16_t size = 0;     // bytes
  std::uint16_t element = 0;  // bytes
  FieldKind kind = FieldKind::kNumber;
  Pieces reads = Pieces::kNarrow;
  Families readers = 0;
  Pieces writes = Pieces::kWhole;
  Families writers = 0;
};

enum class PacketAccess : std::uint8_t { kNone, kRead, kWrite };

struct Layout {
  std::string_view name;  // "struct xdp_md"
  std::span<const Field> fields{};
  Families family = 0;  // the bits of this kind of program in readers and writers
  std::uint32_t flat_begin = 0;
  std::uint32_t flat_end = 0;                      // flat memory where it is not 0
  std::optional<std::uint64_t> greatest_result{};  // r0 at exit, from least_result on
  std::uint64_t least_result = 0;
  bool packet_loads = false;  // ldabs and ldind
  PacketAccess packet = PacketAccess::kNone;
};

// Programs of this type, attached there where they say so; nothing: they are not known here.
std::optional<Layout> find_layout(ebpf::ProgramType type, std::optional<ebpf::AttachType> attach);

// What lies behind a pointer to a structure of the kernel. Only read.
const Layout& socket_layout();         // struct bpf_sock, of a full socket
const Layout& common_socket_layout();  // of any socket: what also those have that are closing or not accepted yet
const Layout& tcp_socket_layout();     // struct bpf_tcp_sock
inline constexpr std::uint32_t kFlowKeysSize = 56;  // struct bpf_flow_keys

// What a helper of the kernel takes in programs of this kind (any kind, where the layout is not known).
struct KernelHelper {
  const runtime::Prototype* prototype = nullptr;  // null: not for this kind of program, or not known at all
  bool is_known = false;
};
KernelHelper kernel_helper(const std::optional<Layout>& layout, std::int32_t helper);

// Why a helper of the kernel is not known here, in words for a refusal: "locks are not followed". Empty: for no reason
// but that nobody wrote it.
std::string_view why_unknown(std::int32_t helper);

bool is_gpl_compatible(std::string_view license);

}  // namespace weir::verify
