// Counts packets and bytes by the low bits of the EtherType's first byte. The object beside it is made by
//   clang -O2 -g -target bpf -ffile-prefix-map=$PWD=. -c count.c && llvm-strip -g count.o
struct xdp_md {
  unsigned data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};
#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name

static void *(*lookup)(void *, const void *) = (void *)1;

struct count {
  unsigned long long packets, bytes;
};
struct {
  __uint(type, 2);
  __uint(max_entries, 4);
  __type(key, int);
  __type(value, struct count);
} counts SEC(".maps");

static __attribute__((noinline)) int add(struct count *c, int bytes) {
  c->packets += 1;
  c->bytes += bytes;
  return 2;
}

SEC("xdp") int count(struct xdp_md *ctx) {
  unsigned char *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  if (data + 14 > end)
    return 1;
  int key = data[12] & 3;
  struct count *c = lookup(&counts, &key);
  if (!c)
    return 1;
  return add(c, end - data);
}
char license_[] SEC("license") = "Dual BSD/GPL";
