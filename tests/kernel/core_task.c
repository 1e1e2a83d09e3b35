// A program whose accesses are relocated against the running kernel's types: it returns the thread group of whoever runs
// it, and counts its runs. The structs name only what is read, at places where the kernel does not have it.
typedef unsigned int u32;
typedef unsigned long long u64;
#define SEC(name) __attribute__((section(name), used))

struct task_struct {
  int pid;
  int tgid;
} __attribute__((preserve_access_index));

struct who {
  u32 group;
  u32 unused;
};

struct {
  int (*type)[1];  // hash
  struct who* key;
  u64* value;
  int (*max_entries)[8];
} runs SEC(".maps");

static void* (*map_lookup_elem)(void* map, const void* key) = (void*)1;
static long (*map_update_elem)(void* map, const void* key, const void* value, u64 flags) = (void*)2;
static u64 (*get_current_task)(void) = (void*)35;
static long (*probe_read_kernel)(void* to, u32 size, const void* from) = (void*)113;

u32 last_group = 0;
const volatile u32 step = 3;

SEC("raw_tp/sys_enter")
int group_of_task(void* context) {
  struct task_struct* const task = (void*)get_current_task();
  int group = 0;
  probe_read_kernel(&group, sizeof group, __builtin_preserve_access_index(&task->tgid));
  last_group = group;
  struct who key = {.group = group};
  u64* const count = map_lookup_elem(&runs, &key);
  u64 one = step;
  if (count) __sync_fetch_and_add(count, step);
  else map_update_elem(&runs, &key, &one, 0);
  return group;
}

SEC("xdp")
int pass(void* context) { return 2; }

SEC("?xdp")
int unchecked(void* context) {
  struct who key = {.group = 1};
  u64* const count = map_lookup_elem(&runs, &key);
  return *count;
}

char terms[] SEC("license") = "GPL";
