// Maps of the running kernel. Exports Map and the questions about errors. Source: bpf(2); kernel/bpf/syscall.c.
#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

#include <weir/kernel/map.h>
#include <weir/kernel/type_table.h>

#include "kernel/bpf_call.h"
#include "kernel/map_refusal.h"

namespace weir::kernel {
namespace {

bool is_per_cpu(ebpf::MapType type) {
  return type == ebpf::MapType::kPercpuArray || type == ebpf::MapType::kPercpuHash ||
         type == ebpf::MapType::kLruPercpuHash || type == ebpf::MapType::kPercpuCgroupStorage;
}

}  // namespace

// How many CPUs the kernel counts with: the last number of "0-3".
std::size_t possible_cpus() {
  static const std::size_t count = [] {
    std::size_t last = 0;
    if (std::FILE* file = std::fopen("/sys/devices/system/cpu/possible", "re")) {
      char text[256] = {};
      if (std::fgets(text, sizeof text, file) != nullptr)
        for (const char* at = text; *at != '\0';) {
          if (*at >= '0' && *at <= '9') last = std::strtoul(at, const_cast<char**>(&at), 10);
          else ++at;
        }
      std::fclose(file);
    }
    return last + 1;
  }();
  return count;
}

bool is_exist(const Error& error) { return error.system_error == EEXIST; }
bool is_not_exist(const Error& error) { return error.system_error == ENOENT; }
bool is_too_big(const Error& error) { return error.system_error == E2BIG; }

Map::Map(FileDescriptor descriptor, ebpf::MapDefinition definition)
    : descriptor_(std::move(descriptor)), definition_(std::move(definition)) {
  value_bytes_ = definition_.value_size;
  if (is_per_cpu(definition_.type)) value_bytes_ = (definition_.value_size + 7) / 8 * 8 * possible_cpus();
}

bool Map::per_cpu() const { return is_per_cpu(definition_.type); }

Result<Map> Map::adopt(FileDescriptor descriptor) {
  bpf_map_info info;
  set_zero(info);
  WEIR_CHECK(object_info(descriptor.get(), info));
  Map map(std::move(descriptor), {.name = std::string(info.name, strnlen(info.name, sizeof info.name)),
                                  .type = static_cast<ebpf::MapType>(info.type),
                                  .key_size = info.key_size,
                                  .value_size = info.value_size,
                                  .max_entries = info.max_entries,
                                  .flags = info.map_flags});
  map.id_ = info.id;
  return map;
}

Result<MapInfo> Map::info() const {
  bpf_map_info info;
  set_zero(info);
  WEIR_CHECK(object_info(descriptor(), info));
  MapInfo out{.id = info.id,
              .name = std::string(info.name, strnlen(info.name, sizeof info.name)),
              .type = static_cast<ebpf::MapType>(info.type),
              .key_size = info.key_size,
              .value_size = info.value_size,
              .max_entries = info.max_entries,
              .flags = info.map_flags,
              .extra = info.map_extra,
              .interface_index = info.ifindex,
              .types_id = info.btf_id,
              .key_type = info.btf_key_type_id,
              .value_type = info.btf_value_type_id};
  std::map<std::string, std::string> more = fd_info(descriptor());
  out.memory = std::strtoull(more["memlock"].c_str(), nullptr, 10);
  out.frozen = more["frozen"] == "1";
  return out;
}

Result<Map> Map::create(const ebpf::MapDefinition& definition, const MapOptions& options) {
  bpf_attr attributes = empty_attributes();
  attributes.map_type = static_cast<std::uint32_t>(definition.type);
  attributes.key_size = definition.key_size;
  attributes.value_size = definition.value_size;
  attributes.max_entries = definition.max_entries;
  attributes.map_flags = definition.flags;
  attributes.map_ifindex = options.interface_index;
  if (options.inner != nullptr) attributes.inner_map_fd = static_cast<std::uint32_t>(options.inner->descriptor());
  if (options.numa_node) {
    attributes.map_flags |= BPF_F_NUMA_NODE;
    attributes.numa_node = *options.numa_node;
  }
  copy_name(attributes.map_name, definition.name);
  attributes.map_extra = options.extra;
  if (options.types != nullptr) {
    attributes.btf_fd = static_cast<std::uint32_t>(options.types->descriptor());
    attributes.btf_key_type_id = options.key_type;
    attributes.btf_value_type_id = options.value_type;
  }
  const Result<int> descriptor = bpf_call(BPF_MAP_CREATE, attributes, "BPF_MAP_CREATE");
  if (!descriptor) {
    Error error = descriptor.error();
    if (std::string why = why_no_map(definition, options, error.system_error); !why.empty())
      error.hint = std::move(why);
    return fail(std::move(error));
  }
  WEIR_TRY(Map map, adopt(FileDescriptor(*descriptor)));
  map.definition_.name = definition.name;
  if (!definition.contents.empty()) {
    const std::uint8_t zero[4] = {};
    std::vector<std::uint8_t> value = definition.contents;
    value.resize(map.value_bytes());
    WEIR_CHECK(map.set(zero, value));
  }
  return map;
}

Result<Map> Map::open_pinned(const std::string& path) {
  WEIR_TRY(FileDescriptor descriptor, open_object(path));
  return adopt(std::move(descriptor));
}

Result<Map> Map::open_id(std::uint32_t id) {
  WEIR_TRY(FileDescriptor descriptor, object_by_id(BPF_MAP_GET_FD_BY_ID, id, "BPF_MAP_GET_FD_BY_ID"));
  return adopt(std::move(descriptor));
}

void Map::close() { descriptor_ = FileDescriptor(); }

Status Map::check_sizes(ByteSpan key, std::optional<ByteSpan> value) const {
  if (key.size() != definition_.key_size)
    return fail(Error{.code = ErrorCode::kUsage,
                      .message = fmt::format("key size is {}, want {}", key.size(), definition_.key_size)});
  if (value && value->size() != value_bytes_)
    return fail(Error{.code = ErrorCode::kUsage,
                      .message = fmt::format("value size is {}, want {}", value->size(), value_bytes_)});
  return {};
}

Status Map::write(ByteSpan key, ByteSpan value, std::uint64_t flags) {
  WEIR_CHECK(check_sizes(key, value));
  bpf_attr attributes = empty_attributes();
  attributes.map_fd = static_cast<std::uint32_t>(descriptor());
  attributes.key = definition_.key_size != 0 ? pointer_of(key.data()) : 0;
  attributes.value = pointer_of(value.data());
  attributes.flags = flags;
  const Result<int> done = map_call(*this, BPF_MAP_UPDATE_ELEM, attributes, "BPF_MAP_UPDATE_ELEM", true);
  if (done) return {};
  Error error = done.error();
  if (definition_.type == ebpf::MapType::kLpmTrie && error.system_error == EINVAL) {
    const auto bits = load<std::uint32_t>(key.data(), std::endian::native);
    if (const std::uint32_t most = 8 * (definition_.key_size - 4); bits > most)
      error.hint = fmt::format("the prefix has {} bits, {} at most", bits, most);
  }
  return fail(std::move(error));
}
Status Map::set(ByteSpan key, ByteSpan value) { return write(key, value, BPF_ANY); }
Status Map::create(ByteSpan key, ByteSpan value) { return write(key, value, BPF_NOEXIST); }
Status Map::update(ByteSpan key, ByteSpan value) { return write(key, value, BPF_EXIST); }

Result<std::vector<std::uint8_t>> Map::read_value(ByteSpan key, int command, const char* name) const {
  WEIR_CHECK(check_sizes(key, std::nullopt));
  std::vector<std::uint8_t> value(value_bytes_);
  bpf_attr attributes = empty_attributes();
  attributes.map_fd = static_cast<std::uint32_t>(descriptor());
  attributes.key = definition_.key_size != 0 ? pointer_of(key.data()) : 0;
  attributes.value = pointer_of(value.data());
  WEIR_TRY([[maybe_unused]] const int done, map_call(*this, command, attributes, name, command != BPF_MAP_LOOKUP_ELEM));
  return value;
}

Result<std::vector<std::uint8_t>> Map::lookup(ByteSpan key) const {
  return read_value(key, BPF_MAP_LOOKUP_ELEM, "BPF_MAP_LOOKUP_ELEM");
}

Result<std::vector<std::uint8_t>> Map::take(ByteSpan key) {
  return read_value(key, BPF_MAP_LOOKUP_AND_DELETE_ELEM, "BPF_MAP_LOOKUP_AND_DELETE_ELEM");
}

Status Map::contains(ByteSpan value) const {
  if (definition_.type != ebpf::MapType::kBloomFilter)
    return fail(
        Error{.code = ErrorCode::kUsage,
              .message = fmt::format("maps of type {} are asked by their keys", ebpf::name_of(definition_.type))});
  WEIR_CHECK(check_sizes({}, value));
  std::vector<std::uint8_t> copy(value.begin(), value.end());
  bpf_attr attributes = empty_attributes();
  attributes.map_fd = static_cast<std::uint32_t>(descriptor());
  attributes.value = pointer_of(copy.data());
  WEIR_TRY([[maybe_unused]] const int done,
           map_call(*this, BPF_MAP_LOOKUP_ELEM, attributes, "BPF_MAP_LOOKUP_ELEM", false));
  return {};
}

Status Map::erase(ByteSpan key) {
  WEIR_CHECK(check_sizes(key, std::nullopt));
  bpf_attr attributes = empty_attributes();
  attributes.map_fd = static_cast<std::uint32_t>(descriptor());
  attributes.key = definition_.key_size != 0 ? pointer_of(key.data()) : 0;
  WEIR_TRY([[maybe_unused]] const int done,
           map_call(*this, BPF_MAP_DELETE_ELEM, attributes, "BPF_MAP_DELETE_ELEM", true));
  return {};
}

Result<bool> Map::next_key(const std::vector<std::uint8_t>& key, std::vector<std::uint8_t>& next) const {
  bpf_attr attributes = empty_attributes();
  attributes.map_fd = static_cast<std::uint32_t>(descriptor());
  attributes.key = key.empty() ? 0 : pointer_of(key.data());
  attributes.next_key = pointer_of(next.data());
  const Result<int> result = map_call(*this, BPF_MAP_GET_NEXT_KEY, attributes, "BPF_MAP_GET_NEXT_KEY", false);
  if (result) return true;
  if (is_not_exist(result.error())) return false;
  return fail(result.error());
}

Status Map::iterate(const std::function<bool(ByteSpan, ByteSpan)>& use, ByteSpan hint) const {
  std::vector<std::uint8_t> key(hint.begin(), hint.end());
  std::vector<std::uint8_t> next(definition_.key_size);
  if (!hint.empty()) WEIR_CHECK(check_sizes(hint, std::nullopt));
  WEIR_TRY(bool more, next_key(key, next));
  for (std::uint64_t count = 0; more; ++count) {
    if (count > definition_.max_entries && definition_.max_entries != 0)
      return fail(Error{.code = ErrorCode::kLimit,
                        .message = "the map changed while it was read, and the kernel began anew",
                        .hint = "read it again"});
    key = next;
    // The next key is asked for before the entry is shown: `use` may delete it.
    const Result<std::vector<std::uint8_t>> value = lookup(key);
    const std::vector<std::uint8_t> shown = key;
    WEIR_TRY(more, next_key(key, next));
    if (!value && is_not_exist(value.error())) continue;  // deleted meanwhile
    if (!value) return fail(value.error());
    if (use(shown, *value)) return {};
  }
  return {};
}

Status Map::freeze() {
  bpf_attr attributes = empty_attributes();
  attributes.map_fd = static_cast<std::uint32_t>(descriptor());
  WEIR_TRY([[maybe_unused]] const int done, map_call(*this, BPF_MAP_FREEZE, attributes, "BPF_MAP_FREEZE", true));
  return {};
}

Status Map::pin(const std::string& path) const { return pin_object(descriptor(), path); }

}  // namespace weir::kernel
