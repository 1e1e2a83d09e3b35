// Programs of ebpf_bench, compiled twice by clang -O2: for BPF, and for this processor.
//
// Both see struct xdp_md and check data_end as XDP programs must. Natively, `lookup` calls the very same maps.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
struct xdp_md {
  u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

#ifdef __bpf__
#define PROGRAM __attribute__((section("xdp"), used))
#define __uint(name, value) int(*name)[value]
#define __type(name, value) typeof(value)* name
struct {
  __uint(type, 1);
  __type(key, u32);
  __type(value, u64);
  __uint(max_entries, 4096);
} flows __attribute__((section(".maps"), used));
struct {
  __uint(type, 2);
  __type(key, u32);
  __type(value, u64);
  __uint(max_entries, 256);
} protocols __attribute__((section(".maps"), used));
static void* (*const lookup)(void* map, const void* key) = (void*)1;
static long (*const update)(void* map, const void* key, const void* value, u64 flags) = (void*)2;
char license_text[] __attribute__((section("license"), used)) = "GPL";
#define FLOWS &flows
#define PROTOCOLS &protocols
#else
#define PROGRAM
void* bench_flows;
void* bench_protocols;
void* (*lookup)(void* map, const void* key);
long (*update)(void* map, const void* key, const void* value, u64 flags);
#define FLOWS bench_flows
#define PROTOCOLS bench_protocols
#endif

#define DATA(context) ((u8*)(unsigned long)(context)->data)
#define END(context) ((u8*)(unsigned long)(context)->data_end)

// Arithmetic: 1000 rounds of shifts, products and quotients.
PROGRAM int arithmetic(struct xdp_md* context) {
  u64 x = context->data_end - context->data + 88172645463325252ull;
  u64 y = 1;
  for (u32 i = 0; i < 1000; ++i) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    y = y * 6364136223846793005ull + (x >> (i & 31));
    if ((i & 15) == 0) y /= 3 + (x & 7);
  }
  return (int)(y ^ (y >> 32));
}

// Packet parsing: Ethernet, up to two VLAN tags, IPv4 or IPv6, TCP or UDP ports.
PROGRAM int parse(struct xdp_md* context) {
  u8* data = DATA(context);
  u8* end = END(context);
  if (data + 14 > end) return 1;
  u16 type = *(u16*)(data + 12);
  u8* at = data + 14;
#pragma unroll
  for (int i = 0; i < 2; ++i)
    if (type == 0x0081 || type == 0xa888) {
      if (at + 4 > end) return 1;
      type = *(u16*)(at + 2);
      at += 4;
    }
  u8 protocol;
  u32 sum = 0;
  if (type == 0x0008) {
    if (at + 20 > end) return 1;
    if ((*at >> 4) != 4 || (*at & 15) < 5) return 1;
    if (*(u16*)(at + 6) & 0xff1f) return 2;
    protocol = at[9];
    sum = *(u32*)(at + 12) ^ *(u32*)(at + 16);
    at += (*at & 15) * 4;
  } else if (type == 0xdd86) {
    if (at + 40 > end) return 1;
    protocol = at[6];
    sum = *(u32*)(at + 8) ^ *(u32*)(at + 20) ^ *(u32*)(at + 24) ^ *(u32*)(at + 36);
    at += 40;
  } else {
    return 2;
  }
  if (protocol != 6 && protocol != 17) return 2;
  if (at + 4 > end) return 1;
  u16 from = __builtin_bswap16(*(u16*)at);
  u16 to = __builtin_bswap16(*(u16*)(at + 2));
  if (to == 22 || from == 22) return 1;
  if (to >= 8000 && to < 8100) return 3;
  return (sum & 1) ? 2 : 4;
}

// Checksum: RFC 1071 over the packet, two bytes a step.
PROGRAM int checksum(struct xdp_md* context) {
  u8* at = DATA(context);
  u8* end = END(context);
  u32 sum = 0;
  for (u32 i = 0; i < 740; ++i) {
    if (at + 2 > end) break;
    sum += *(u16*)at;
    at += 2;
  }
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (u16)~sum;
}

// Maps: counts addresses in a hash table and protocols in an array.
PROGRAM int maps(struct xdp_md* context) {
  u8* data = DATA(context);
  u8* end = END(context);
  if (data + 34 > end) return 1;
  for (int i = 0; i < 2; ++i) {
    u32 key = *(u32*)(data + 26 + 4 * i);
    u64* count = lookup(FLOWS, &key);
    if (count) {
      *count += 1;
    } else {
      u64 one = 1;
      update(FLOWS, &key, &one, 0);
    }
  }
  u32 protocol = data[23];
  u64* total = lookup(PROTOCOLS, &protocol);
  if (total) *total += end - data;
  return 2;
}
