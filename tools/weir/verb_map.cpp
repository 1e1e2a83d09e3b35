// weir map: the maps of the running kernel: listed, shown, read, written, made, pinned.
#include <linux/bpf.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <weir/base/suggest.h>

#include "json_text.h"
#include "kernel_find.h"
#include "map_entry.h"
#include "terminal.h"
#include "verbs.h"

namespace weir::tool {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Json = nlohmann::json;

struct Options {
  std::string map;
  std::string key;
  std::string value;
  std::string path;
  std::string type;
  std::string name;
  std::string inner;
  std::uint32_t key_size = 4;
  std::uint32_t value_size = 4;
  bool key_given = false;
  bool value_given = false;
  std::uint32_t entries = 1;
  std::uint32_t flags = 0;
  bool only_new = false;
  bool only_existing = false;
  bool raw = false;
  bool json = false;
};

Error in_map(Error error, const Options& options) {
  if (error.source.empty()) error.source = options.map;
  return error;
}

// Values that are ids of programs or maps, and are written as descriptors of them.
bool holds_programs(ebpf::MapType type) { return type == ebpf::MapType::kProgArray; }
bool holds_maps(ebpf::MapType type) {
  return type == ebpf::MapType::kArrayOfMaps || type == ebpf::MapType::kHashOfMaps;
}

bool has_elements(ebpf::MapType type) {
  return type != ebpf::MapType::kQueue && type != ebpf::MapType::kStack && type != ebpf::MapType::kRingbuf &&
         type != ebpf::MapType::kUserRingbuf && type != ebpf::MapType::kBloomFilter && type != ebpf::MapType::kArena &&
         type != ebpf::MapType::kStructOps;
}

Json to_json(const kernel::MapInfo& info, const std::vector<std::string>& pins) {
  Json out = {{"id", info.id},
              {"type", ebpf::name_of(info.type)},
              {"name", info.name},
              {"key_size", info.key_size},
              {"value_size", info.value_size},
              {"max_entries", info.max_entries},
              {"flags", info.flags},
              {"memory", info.memory},
              {"frozen", info.frozen},
              {"pins", pins}};
  if (info.extra != 0) out["extra"] = info.extra;
  if (info.interface_index != 0) out["interface_index"] = info.interface_index;
  if (info.types_id != 0) out["types"] = {{"id", info.types_id}, {"key", info.key_type}, {"value", info.value_type}};
  return out;
}

int print_json(Json out) {
  out["version"] = 1;
  return print(json_line(out));
}

int list(const Options& options) {
  const auto pins = pinned(kernel::Pin::Kind::kMap);
  const auto pins_of = [&](std::uint32_t id) {
    const auto found = pins.find(id);
    return found == pins.end() ? std::vector<std::string>() : found->second;
  };
  Json maps = Json::array();
  std::vector<std::vector<std::string>> rows = {{"ID", "TYPE", "NAME", "KEY", "VALUE", "ENTRIES", "MEMORY", "PINS"}};
  const Status done = each_map([&](const kernel::Map&, const kernel::MapInfo& info) {
    if (options.json) maps.push_back(to_json(info, pins_of(info.id)));
    else
      rows.push_back({fmt::format("{}", info.id), ebpf::name_of(info.type), info.name, amount(info.key_size),
                      amount(info.value_size), fmt::format("{}", info.max_entries), amount(info.memory),
                      fmt::format("{}", fmt::join(pins_of(info.id), " "))});
  });
  if (!done) return report(done.error());
  if (options.json) return print_json({{"maps", maps}});
  return print(table(rows, {true, false, false, true, true, true, true, false}));
}

std::vector<std::uint32_t> users_of(std::uint32_t map) {
  std::vector<std::uint32_t> ids;
  (void)each_program([&](const kernel::Program&, const kernel::ProgramInfo& info) {
    if (std::find(info.maps.begin(), info.maps.end(), map) != info.maps.end()) ids.push_back(info.id);
  });
  return ids;
}

std::string flag_names(std::uint32_t flags) {
  constexpr std::pair<std::uint32_t, std::string_view> kFlags[] = {{BPF_F_NO_PREALLOC, "no_prealloc"},
                                                                   {BPF_F_NO_COMMON_LRU, "no_common_lru"},
                                                                   {BPF_F_NUMA_NODE, "numa_node"},
                                                                   {BPF_F_RDONLY, "rdonly"},
                                                                   {BPF_F_WRONLY, "wronly"},
                                                                   {BPF_F_ZERO_SEED, "zero_seed"},
                                                                   {BPF_F_RDONLY_PROG, "rdonly_prog"},
                                                                   {BPF_F_WRONLY_PROG, "wronly_prog"},
                                                                   {BPF_F_CLONE, "clone"},
                                                                   {BPF_F_MMAPABLE, "mmapable"},
                                                                   {BPF_F_INNER_MAP, "inner_map"}};
  std::string out = fmt::format("0x{:x}", flags);
  for (const auto& [flag, name] : kFlags)
    if ((flags & flag) != 0) out += fmt::format(" {}", name);
  return out;
}

int show(const Options& options) {
  const Result<kernel::Map> map = find_map(options.map);
  if (!map) return report(map.error());
  const Result<kernel::MapInfo> info = map->info();
  if (!info) return report(info.error());
  auto pins = pinned(kernel::Pin::Kind::kMap)[info->id];
  const std::vector<std::uint32_t> users = users_of(info->id);
  if (options.json) {
    Json out = to_json(*info, pins);
    out["programs"] = users;
    return print_json(std::move(out));
  }
  std::string out =
      fmt::format("map {}: {}{}{}\n", info->id, ebpf::name_of(info->type), info->name.empty() ? "" : " ", info->name);
  out += fmt::format("  key {}, value {}{}, at most {} entries\n", amount(info->key_size), amount(info->value_size),
                     map->per_cpu() ? fmt::format(" for each of {} CPUs", kernel::possible_cpus()) : "",
                     info->max_entries);
  out += fmt::format("  flags {}, memory {}{}\n", flag_names(info->flags), amount(info->memory),
                     info->frozen ? ", frozen" : "");
  if (info->types_id != 0)
    out += fmt::format("  types {} (key {}, value {})\n", info->types_id, info->key_type, info->value_type);
  if (!users.empty()) out += fmt::format("  programs {}\n", fmt::join(users, ", "));
  for (const std::string& pin : pins) out += fmt::format("  pin {}\n", pin);
  return print(out);
}

// A value as one JSON, or as text; per-CPU values one for each CPU.
class Shower {
 public:
  Shower(const kernel::Map& map, const EntryForm& form) : map_(map), form_(form) {}

  Json json(ByteSpan key, ByteSpan value) const {
    Json out = {{"key", hex_bytes(key)}};
    if (map_.definition().key_size == 0) out.erase("key");
    if (Json typed = form_.key(key); !typed.is_null()) out["formatted"]["key"] = std::move(typed);
    if (!map_.per_cpu()) {
      out["value"] = hex_bytes(value);
      if (Json typed = form_.value(value); !typed.is_null()) out["formatted"]["value"] = std::move(typed);
      return out;
    }
    out["values"] = Json::array();
    each_cpu(value, [&](std::size_t cpu, ByteSpan one) {
      Json row = {{"cpu", cpu}, {"value", hex_bytes(one)}};
      if (Json typed = form_.value(one); !typed.is_null()) row["formatted"] = std::move(typed);
      out["values"].push_back(std::move(row));
    });
    return out;
  }

  std::string text(ByteSpan key, ByteSpan value) const {
    if (!map_.per_cpu()) return fmt::format("{}: {}\n", form_.key_text(key), value_text(value));
    std::string out = fmt::format("{}:\n", form_.key_text(key));
    each_cpu(value,
             [&](std::size_t cpu, ByteSpan one) { out += fmt::format("  cpu {}: {}\n", cpu, form_.value_text(one)); });
    return out;
  }

  std::string value_text(ByteSpan value) const {
    const ebpf::MapType type = map_.definition().type;
    if (holds_programs(type) || holds_maps(type))
      return fmt::format("{} {}", holds_maps(type) ? "map" : "program", id_of(value));
    return form_.value_text(value);
  }

 private:
  static std::uint32_t id_of(ByteSpan value) {
    return value.size() < 4 ? 0 : load<std::uint32_t>(value.data(), std::endian::native);
  }
  template <typename Use>
  void each_cpu(ByteSpan value, Use use) const {
    const std::size_t size = map_.definition().value_size;
    const std::size_t stride = (size + 7) / 8 * 8;
    for (std::size_t cpu = 0; (cpu + 1) * stride <= value.size(); ++cpu) use(cpu, value.subspan(cpu * stride, size));
  }
  const kernel::Map& map_;
  const EntryForm& form_;
};

int dump(const Options& options) {
  const Result<kernel::Map> map = find_map(options.map);
  if (!map) return report(map.error());
  const Result<kernel::MapInfo> info = map->info();
  if (!info) return report(info.error());
  if (!has_elements(info->type))
    return report(
        in_map({.code = ErrorCode::kUnsupported,
                .message = fmt::format("the entries of a map of type {} cannot be listed", ebpf::name_of(info->type)),
                .hint = info->type == ebpf::MapType::kQueue || info->type == ebpf::MapType::kStack
                            ? "'weir map lookup' shows the next one"
                            : ""},
               options));
  const EntryForm form = EntryForm::of(*info, options.raw);
  const Shower shower(*map, form);
  Json entries = Json::array();
  std::string out;
  int printed = kYes;
  std::uint64_t count = 0;
  const Status done = map->iterate_many([&](ByteSpan key, ByteSpan value) {
    ++count;
    if (options.json) entries.push_back(shower.json(key, value));
    else out += shower.text(key, value);
    if (out.size() > 1 << 16) {
      printed = print(out);
      out.clear();
    }
    return printed != kYes;
  });
  if (options.json && done) return print_json({{"id", info->id}, {"entries", entries}});
  if (printed == kYes) printed = print(out);
  if (!done) return report(in_map(done.error(), options));
  return printed;
}

// The map and its form, once found; an exit status where something is wrong.
struct Opened {
  kernel::Map map;
  kernel::MapInfo info;
  EntryForm form;
};
Result<Opened> open(const Options& options) {
  WEIR_TRY(kernel::Map map, find_map(options.map));
  WEIR_TRY(kernel::MapInfo info, map.info());
  EntryForm form = EntryForm::of(info, options.raw);
  return Opened{std::move(map), std::move(info), std::move(form)};
}

Error explain(Error error, const Options& options, const Opened& opened) {
  if (kernel::is_not_exist(error))
    error = {.message =
                 opened.info.key_size == 0 ? "the map is empty" : fmt::format("there is no entry '{}'", options.key)};
  else if (kernel::is_exist(error)) error = {.message = fmt::format("there is an entry '{}' already", options.key)};
  else if (kernel::is_too_big(error) && !error.hint.empty()) error = {.message = error.hint};
  return in_map(std::move(error), options);
}

// What a verb that changed something says: nothing, or one object.
int changed(const Options& options, Json out) { return options.json ? print_json(std::move(out)) : int{kYes}; }

// A bloom filter has no keys: it is asked whether a value may be in it.
int lookup_value(const Options& options, const Opened& opened) {
  const Result<Bytes> value = opened.form.read_value(options.key);
  if (!value) return report(value.error());
  const Status there = opened.map.contains(*value);
  if (there && options.json) return print_json({{"value", hex_bytes(*value)}, {"maybe", true}});
  if (there) return print(fmt::format("{}: may be there\n", opened.form.value_text(*value)));
  if (!kernel::is_not_exist(there.error())) return report(explain(there.error(), options, opened));
  return report(in_map({.message = fmt::format("'{}' was never added", options.key)}, options)), kNo;
}

int lookup(const Options& options) {
  const Result<Opened> opened = open(options);
  if (!opened) return report(opened.error());
  const ebpf::MapType type = opened->info.type;
  if (type == ebpf::MapType::kBloomFilter) return lookup_value(options, *opened);
  if (!has_elements(type) && type != ebpf::MapType::kQueue && type != ebpf::MapType::kStack)
    return report(in_map({.code = ErrorCode::kUnsupported,
                          .message = fmt::format("the kernel does not read maps of type {}", ebpf::name_of(type))},
                         options));
  const Result<Bytes> key = opened->form.read_key(options.key);
  if (!key) return report(key.error());
  const Result<Bytes> value = opened->map.lookup(*key);
  if (!value) {
    const int status = report(explain(value.error(), options, *opened));
    return kernel::is_not_exist(value.error()) ? int{kNo} : status;
  }
  const Shower shower(opened->map, opened->form);
  if (options.json) return print_json(shower.json(*key, *value));
  return print(opened->info.key_size != 0 ? shower.text(*key, *value) : shower.value_text(*value) + "\n");
}

// The bytes of a value as update takes them: a descriptor where the map holds programs or maps, one value for all CPUs.
struct NewValue {
  Bytes bytes;
  FileDescriptor keeps;  // until it is written
};
Result<NewValue> value_of(const Options& options, const Opened& opened) {
  NewValue out;
  const auto descriptor = [&](int number) {
    out.bytes.resize(4);
    std::memcpy(out.bytes.data(), &number, 4);
    out.keeps = FileDescriptor(::dup(number));
    const int mine = out.keeps.get();
    std::memcpy(out.bytes.data(), &mine, 4);
  };
  if (holds_programs(opened.info.type)) {
    WEIR_TRY(const kernel::Program program, find_program(options.value));
    descriptor(program.descriptor());
    return out;
  }
  if (holds_maps(opened.info.type)) {
    WEIR_TRY(const kernel::Map map, find_map(options.value));
    descriptor(map.descriptor());
    return out;
  }
  WEIR_TRY(const Bytes one, opened.form.read_value(options.value));
  if (!opened.map.per_cpu()) {
    out.bytes = one;
    return out;
  }
  Bytes padded = one;
  padded.resize((padded.size() + 7) / 8 * 8);
  while (out.bytes.size() < opened.map.value_bytes()) out.bytes.insert(out.bytes.end(), padded.begin(), padded.end());
  return out;
}

int update(const Options& options) {
  Result<Opened> opened = open(options);
  if (!opened) return report(opened.error());
  const Result<Bytes> key = opened->form.read_key(options.key);
  if (!key) return report(key.error());
  const Result<NewValue> value = value_of(options, *opened);
  if (!value) return report(value.error());
  const Status done = options.only_new        ? opened->map.create(*key, value->bytes)
                      : options.only_existing ? opened->map.update(*key, value->bytes)
                                              : opened->map.set(*key, value->bytes);
  if (!done) {
    const int status = report(explain(done.error(), options, *opened));
    // What --new and --existing ask for is not so.
    const bool no =
        options.only_existing ? kernel::is_not_exist(done.error()) : options.only_new && kernel::is_exist(done.error());
    return no ? int{kNo} : status;
  }
  return changed(options, {{"id", opened->info.id}, {"key", hex_bytes(*key)}, {"updated", true}});
}

int push(const Options& options) {
  Result<Opened> opened = open(options);
  if (!opened) return report(opened.error());
  if (opened->info.key_size != 0)
    return report(
        in_map({.code = ErrorCode::kUsage, .message = "the map has keys", .hint = "use 'weir map update'"}, options));
  const Result<NewValue> value = value_of(options, *opened);
  if (!value) return report(value.error());
  const Status done = opened->map.set({}, value->bytes);
  if (!done) return report(explain(done.error(), options, *opened));
  return changed(options, {{"id", opened->info.id}, {"pushed", true}});
}

int pop(const Options& options) {
  Result<Opened> opened = open(options);
  if (!opened) return report(opened.error());
  if (opened->info.key_size != 0)
    return report(
        in_map({.code = ErrorCode::kUsage, .message = "the map has keys", .hint = "use 'weir map delete'"}, options));
  const Result<Bytes> value = opened->map.take({});
  if (!value) {
    const int status = report(explain(value.error(), options, *opened));
    return kernel::is_not_exist(value.error()) ? int{kNo} : status;
  }
  const Shower shower(opened->map, opened->form);
  return options.json ? print_json(shower.json({}, *value)) : print(shower.value_text(*value) + "\n");
}

int erase(const Options& options) {
  Result<Opened> opened = open(options);
  if (!opened) return report(opened.error());
  const Result<Bytes> key = opened->form.read_key(options.key);
  if (!key) return report(key.error());
  const Status done = opened->map.erase(*key);
  if (done) return changed(options, {{"id", opened->info.id}, {"key", hex_bytes(*key)}, {"deleted", true}});
  const int status = report(explain(done.error(), options, *opened));
  return kernel::is_not_exist(done.error()) ? int{kNo} : status;
}

int create(const Options& options) {
  const auto type = ebpf::find_map_type(options.type);
  if (!type) {
    const auto names = ebpf::map_type_names();
    return report({.code = ErrorCode::kUsage,
                   .message = fmt::format("there is no type of map '{}'", options.type),
                   .hint = did_you_mean(options.type, names)});
  }
  const bool keyless =
      *type == ebpf::MapType::kQueue || *type == ebpf::MapType::kStack || *type == ebpf::MapType::kBloomFilter;
  const bool plain = *type == ebpf::MapType::kRingbuf || *type == ebpf::MapType::kUserRingbuf ||
                     *type == ebpf::MapType::kArena;  // memory, without keys and values
  const auto refuse = [&](const char* option, const char* what) {
    return report({.code = ErrorCode::kUsage,
                   .message = fmt::format("maps of type {} have no {}", options.type, what),
                   .hint = fmt::format("leave {} out", option)});
  };
  if (options.key_given && (keyless || plain)) return refuse("--key", "keys");
  if (options.value_given && plain) return refuse("--value", "values");
  if (!options.inner.empty() && !holds_maps(*type)) return refuse("--inner", "maps in them");
  ebpf::MapDefinition definition{.name = options.name,
                                 .type = *type,
                                 .key_size = keyless || plain ? 0 : options.key_size,
                                 .value_size = plain ? 0 : options.value_size,
                                 .max_entries = options.entries,
                                 .flags = options.flags};
  if (*type == ebpf::MapType::kLpmTrie) definition.flags |= BPF_F_NO_PREALLOC;
  if (*type == ebpf::MapType::kArena) definition.flags |= BPF_F_MMAPABLE;
  std::optional<kernel::Map> inner;
  if (!options.inner.empty()) {
    Result<kernel::Map> found = find_map(options.inner);
    if (!found) return report(found.error());
    inner = std::move(*found);
  }
  const Result<kernel::Map> map = kernel::Map::create(definition, {.inner = inner ? &*inner : nullptr});
  if (!map) {
    Error error = map.error();
    if (holds_maps(*type) && !inner) error.hint = "--inner MAP shows what the inner maps are like";
    return report(error);
  }
  if (const Status done = map->pin(options.path); !done) return report(done.error());
  if (options.json) return print_json({{"id", map->id()}, {"pin", options.path}});
  return print(fmt::format("map {} pinned at {}\n", map->id(), options.path));
}

int pin(const Options& options) {
  const Result<kernel::Map> map = find_map(options.map);
  if (!map) return report(map.error());
  const Status done = map->pin(options.path);
  if (!done) return report(done.error());
  return changed(options, {{"id", map->id()}, {"pin", options.path}});
}

int freeze(const Options& options) {
  Result<kernel::Map> map = find_map(options.map);
  if (!map) return report(map.error());
  const Status done = map->freeze();
  if (!done) return report(in_map(done.error(), options));
  return changed(options, {{"id", map->id()}, {"frozen", true}});
}

constexpr const char* kWhich = "the map: its id, name or pin";
constexpr const char* kBytes = "a number, hex:0a0b, str:text, an address, or JSON where the map has types";

}  // namespace

void add_map(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("map", "maps of the running kernel: list, read, write, make, pin");
  verb->require_subcommand(1);
  const auto add = [&](const char* name, const char* text, int (*run)(const Options&)) {
    CLI::App* one = verb->add_subcommand(name, text);
    one->callback([options, &status, run] { status = run(*options); });
    one->add_flag("--json", options->json, "print JSON");
    return one;
  };
  const auto which = [&](CLI::App* one) { one->add_option("map", options->map, kWhich)->required(); };
  const auto raw = [&](CLI::App* one) { one->add_flag("--raw", options->raw, "bytes, also where the map has types"); };
  const auto key = [&](CLI::App* one) { return one->add_option("key", options->key, kBytes); };

  add("list", "all maps", list);
  which(add("show", "one map, its programs and pins", show));
  CLI::App* one = add("dump", "all entries", dump);
  which(one);
  raw(one);
  one = add("lookup", "one entry", lookup);
  which(one);
  key(one);
  raw(one);
  one = add("update", "set an entry", update);
  which(one);
  key(one)->required();
  one->add_option("value", options->value, kBytes)->required();
  CLI::Option* const only_new = one->add_flag("--new", options->only_new, "only where there is none yet");
  one->add_flag("--existing", options->only_existing, "only where there is one")->excludes(only_new);
  one = add("delete", "delete an entry", erase);
  which(one);
  key(one)->required();
  one = add("push", "append to a queue, put onto a stack, into a bloom filter", push);
  which(one);
  one->add_option("value", options->value, kBytes)->required();
  which(add("pop", "take from a queue or stack", pop));
  one = add("create", "make a map and pin it", create);
  one->add_option("path", options->path, "where to pin it")->required();
  one->add_option("-t,--type", options->type, "its type: hash, array, lru_hash, lpm_trie, ...")->required();
  const auto note = [](bool& given) { return [&given](const std::string&) { given = true; }; };
  one->add_option("-k,--key", options->key_size, "bytes of a key")
      ->capture_default_str()
      ->each(note(options->key_given));
  one->add_option("-v,--value", options->value_size, "bytes of a value")
      ->capture_default_str()
      ->each(note(options->value_given));
  one->add_option("-e,--entries", options->entries, "how many entries at most")->capture_default_str();
  one->add_option("-n,--name", options->name, "its name");
  one->add_option("--flags", options->flags, "BPF_F_* as a number");
  one->add_option("--inner", options->inner, "maps of maps: one like those inside");
  one = add("pin", "pin a map", pin);
  which(one);
  one->add_option("path", options->path, "where")->required();
  which(add("freeze", "let only programs write it from now on", freeze));
}

}  // namespace weir::tool
