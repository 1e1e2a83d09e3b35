// What is loaded in the running kernel. Exports map_ids, program_ids, link_ids, type_table_ids, pins, read_pin.
// Source: kernel/bpf/syscall.c, BPF_*_GET_NEXT_ID. Ids only grow until they wrap, so that the walk ends.
#include <weir/kernel/inventory.h>

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>

#include "kernel/bpf_call.h"
#include "kernel/mounts.h"

namespace weir::kernel {
namespace {

Result<std::vector<std::uint32_t>> all_ids(int command, const char* name) {
  std::vector<std::uint32_t> ids;
  bpf_attr attributes = empty_attributes();
  for (;;) {
    Result<int> found = bpf_call(command, attributes, name);
    if (found) {
      ids.push_back(attributes.next_id);
      attributes.start_id = attributes.next_id;
      continue;
    }
    if (found.error().system_error == ENOENT) return ids;
    Error error = std::move(found).error();
    if (error.system_error == EPERM)
      error.hint = "listing what the kernel has loaded needs CAP_SYS_ADMIN (root has it)";
    return fail(std::move(error));
  }
}

// The descriptor's link in /proc says what it is: "anon_inode:bpf-map".
std::optional<Pin::Kind> kind_of(int descriptor) {
  char text[64] = {};
  const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
  if (readlink(path.c_str(), text, sizeof text - 1) < 0) return std::nullopt;
  const std::string_view name = text;
  if (name.find("bpf-map") != std::string_view::npos) return Pin::Kind::kMap;
  if (name.find("bpf-prog") != std::string_view::npos) return Pin::Kind::kProgram;
  if (name.find("bpf_link") != std::string_view::npos || name.find("bpf-link") != std::string_view::npos)
    return Pin::Kind::kLink;
  return std::nullopt;
}

void collect(const std::string& folder, std::vector<Pin>& found, unsigned depth) {
  constexpr unsigned kDeepest = 16;
  DIR* const directory = depth < kDeepest ? opendir(folder.c_str()) : nullptr;
  if (directory == nullptr) return;
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    const std::string path = folder + "/" + name;
    struct stat status {};
    if (lstat(path.c_str(), &status) != 0) continue;
    if (S_ISDIR(status.st_mode)) collect(path, found, depth + 1);
    else if (S_ISREG(status.st_mode))
      if (Result<Pin> pin = read_pin(path)) found.push_back(std::move(*pin));
  }
  closedir(directory);
}

}  // namespace

Result<std::vector<std::uint32_t>> map_ids() { return all_ids(BPF_MAP_GET_NEXT_ID, "BPF_MAP_GET_NEXT_ID"); }
Result<std::vector<std::uint32_t>> program_ids() { return all_ids(BPF_PROG_GET_NEXT_ID, "BPF_PROG_GET_NEXT_ID"); }
Result<std::vector<std::uint32_t>> link_ids() { return all_ids(BPF_LINK_GET_NEXT_ID, "BPF_LINK_GET_NEXT_ID"); }
Result<std::vector<std::uint32_t>> type_table_ids() { return all_ids(BPF_BTF_GET_NEXT_ID, "BPF_BTF_GET_NEXT_ID"); }

Result<Pin> read_pin(const std::string& path) {
  WEIR_TRY(const FileDescriptor descriptor, open_object(path));
  const std::optional<Pin::Kind> kind = kind_of(descriptor.get());
  if (!kind) return fail(Error{.message = "a pin that is no map, program or link", .source = path});
  Pin pin{.kind = *kind, .path = path};
  // All three kinds of information begin with the type and the id.
  std::uint32_t words[64] = {};
  WEIR_CHECK(object_info(descriptor.get(), words));
  pin.id = words[1];
  return pin;
}

std::vector<Pin> pins() {
  std::vector<Pin> found;
  std::vector<std::string> seen;
  for (const std::string& folder : mounts_of("bpf")) {
    if (std::find(seen.begin(), seen.end(), folder) != seen.end()) continue;
    seen.push_back(folder);
    collect(folder, found, 0);
  }
  return found;
}

}  // namespace weir::kernel
