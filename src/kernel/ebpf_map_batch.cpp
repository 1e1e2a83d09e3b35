// Many entries of a map a call. Exports Map::set_many, erase_many, iterate_many, take_many.
//
// A reading call ends at a place that the kernel remembers in a cursor: the number of a bucket for hash tables, a key
// for others. A bucket is read whole, so that a call with too little room for one fails (ENOSPC) and is repeated with
// more. Kinds of maps without these calls answer ENOTSUPP, kernels before 5.6 EINVAL: then it goes entry by entry.
// Source: kernel/bpf/syscall.c, generic_map_lookup_batch; kernel/bpf/hashtab.c, __htab_map_lookup_and_delete_batch.
#include <algorithm>

#include <fmt/format.h>

#include <weir/kernel/map.h>

#include "kernel/map_refusal.h"

namespace weir::kernel {
namespace {

bool has_no_batch(const Error& error) {
  constexpr int kNotSupported = 524;  // ENOTSUPP, the kernel's own number
  return error.system_error == kNotSupported || error.system_error == EINVAL || error.system_error == EOPNOTSUPP;
}

Error after(Error error, std::size_t entries) {
  error.message = fmt::format("{} (after {} entries)", error.message, entries);
  return error;
}

}  // namespace

Result<std::size_t> Map::write_batch(int command, const char* name, ByteSpan keys, ByteSpan values) const {
  const std::size_t key_size = definition_.key_size;
  if (key_size == 0)
    return fail(Error{.code = ErrorCode::kUsage,
                      .message = fmt::format("maps of type {} have no keys", ebpf::name_of(definition_.type))});
  if (keys.size() % key_size != 0)
    return fail(Error{.code = ErrorCode::kUsage,
                      .message = fmt::format("{} bytes of keys, want a multiple of {}", keys.size(), key_size)});
  const std::size_t count = keys.size() / key_size;
  if (count == 0) return 0;
  bpf_attr attributes = empty_attributes();
  attributes.batch.map_fd = static_cast<std::uint32_t>(descriptor());
  attributes.batch.keys = pointer_of(keys.data());
  attributes.batch.values = pointer_of(values.data());
  attributes.batch.count = static_cast<std::uint32_t>(count);
  const Result<int> done = map_call(*this, command, attributes, name, true);
  if (done) return std::size_t{attributes.batch.count};
  if (has_no_batch(done.error())) return fail(done.error());
  // Where the arguments themselves are at fault the kernel leaves the count as it was.
  return fail(after(done.error(), attributes.batch.count < count ? attributes.batch.count : 0));
}

Result<std::size_t> Map::set_many(ByteSpan keys, ByteSpan values) {
  const std::size_t key_size = definition_.key_size;
  if (key_size != 0 && keys.size() % key_size == 0 && values.size() != keys.size() / key_size * value_bytes_)
    return fail(Error{
        .code = ErrorCode::kUsage,
        .message = fmt::format("{} bytes of values, want {}", values.size(), keys.size() / key_size * value_bytes_)});
  Result<std::size_t> done = write_batch(BPF_MAP_UPDATE_BATCH, "BPF_MAP_UPDATE_BATCH", keys, values);
  if (done || done.error().code == ErrorCode::kUsage || !has_no_batch(done.error())) return done;
  for (std::size_t i = 0; i < keys.size() / key_size; ++i)
    if (Status status = set(keys.subspan(i * key_size, key_size), values.subspan(i * value_bytes_, value_bytes_));
        !status)
      return fail(after(std::move(status).error(), i));
  return keys.size() / key_size;
}

Result<std::size_t> Map::erase_many(ByteSpan keys) {
  Result<std::size_t> done = write_batch(BPF_MAP_DELETE_BATCH, "BPF_MAP_DELETE_BATCH", keys, {});
  if (done || done.error().code == ErrorCode::kUsage || !has_no_batch(done.error())) return done;
  const std::size_t key_size = definition_.key_size;
  for (std::size_t i = 0; i < keys.size() / key_size; ++i)
    if (Status status = erase(keys.subspan(i * key_size, key_size)); !status)
      return fail(after(std::move(status).error(), i));
  return keys.size() / key_size;
}

Status Map::read_batches(int command, const char* name, std::size_t at_once,
                         const std::function<bool(ByteSpan, ByteSpan)>& use) const {
  const std::size_t key_size = definition_.key_size;
  std::vector<std::uint8_t> cursor(std::max<std::size_t>(key_size, 8));
  std::vector<std::uint8_t> next(cursor.size());
  std::vector<std::uint8_t> keys;
  std::vector<std::uint8_t> values;
  std::size_t room = std::clamp<std::size_t>(at_once, 1, std::max<std::size_t>(definition_.max_entries, 1));
  for (bool first = true, more = true; more;) {
    keys.resize(room * key_size);
    values.resize(room * value_bytes_);
    bpf_attr attributes = empty_attributes();
    attributes.batch.map_fd = static_cast<std::uint32_t>(descriptor());
    attributes.batch.in_batch = first ? 0 : pointer_of(cursor.data());
    attributes.batch.out_batch = pointer_of(next.data());
    attributes.batch.keys = pointer_of(keys.data());
    attributes.batch.values = pointer_of(values.data());
    attributes.batch.count = static_cast<std::uint32_t>(room);
    const Result<int> done = map_call(*this, command, attributes, name, command != BPF_MAP_LOOKUP_BATCH);
    if (!done && done.error().system_error == ENOSPC && room < definition_.max_entries) {
      room = std::min<std::size_t>(room * 2, definition_.max_entries);
      continue;
    }
    if (!done && !is_not_exist(done.error())) return fail(done.error());
    more = done.has_value();
    for (std::size_t i = 0; i < attributes.batch.count; ++i)
      if (use(ByteSpan(keys).subspan(i * key_size, key_size), ByteSpan(values).subspan(i * value_bytes_, value_bytes_)))
        return {};
    cursor = next;
    first = false;
  }
  return {};
}

Status Map::iterate_many(const std::function<bool(ByteSpan, ByteSpan)>& use, std::size_t at_once) const {
  bool shown = false;
  const Status done =
      read_batches(BPF_MAP_LOOKUP_BATCH, "BPF_MAP_LOOKUP_BATCH", at_once, [&](ByteSpan key, ByteSpan value) {
        shown = true;
        return use(key, value);
      });
  if (done || shown || !has_no_batch(done.error())) return done;
  return iterate(use);
}

Status Map::take_many(const std::function<void(ByteSpan, ByteSpan)>& use, std::size_t at_once) {
  return read_batches(BPF_MAP_LOOKUP_AND_DELETE_BATCH, "BPF_MAP_LOOKUP_AND_DELETE_BATCH", at_once,
                      [&](ByteSpan key, ByteSpan value) { return use(key, value), false; });
}

}  // namespace weir::kernel
