// CO-RE objects through libbpf. Exports load_core_object.
//
// libbpf is opened with dlopen: its functions are a stable interface (libbpf.so.1), declared here as far as they are
// used. It hands out descriptors that it closes with the object, so they are duplicated. What it prints goes to a
// callback without an argument, hence the one lock. Source: https://libbpf.readthedocs.io.
#include <weir/kernel/core_object.h>

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <mutex>

#include <fmt/format.h>

#include "base/shared_library.h"
#include "kernel/bpf_call.h"

struct bpf_object;
struct bpf_program;
struct bpf_map;

namespace weir::kernel {
namespace {

// The beginning of struct bpf_object_open_opts; libbpf takes shorter ones.
struct OpenOptions {
  std::size_t size = sizeof(OpenOptions);
  const char* object_name = nullptr;
};

using PrintFunction = int (*)(int level, const char* format, va_list arguments);

// The functions of libbpf that are used, with its own names.
struct Library {
  PrintFunction (*libbpf_set_print)(PrintFunction);
  bpf_object* (*bpf_object__open_mem)(const void*, std::size_t, const void*);
  int (*bpf_object__load)(bpf_object*);
  void (*bpf_object__close)(bpf_object*);
  bpf_program* (*bpf_object__next_program)(const bpf_object*, bpf_program*);
  const char* (*bpf_program__name)(const bpf_program*);
  const char* (*bpf_program__section_name)(const bpf_program*);
  int (*bpf_program__fd)(const bpf_program*);
  int (*bpf_program__set_type)(bpf_program*, unsigned);
  int (*bpf_program__set_autoload)(bpf_program*, bool);
  int (*bpf_program__set_log_level)(bpf_program*, unsigned);
  bpf_map* (*bpf_object__next_map)(const bpf_object*, const bpf_map*);
  const char* (*bpf_map__name)(const bpf_map*);
  int (*bpf_map__fd)(const bpf_map*);
  int (*bpf_map__reuse_fd)(bpf_map*, int);
};

const Library* find_library() {
  static const auto found = open_library<Library>("libbpf.so.1", RTLD_NOW, [](void* handle, Library& to) {
    return find_symbol(handle, "libbpf_set_print", to.libbpf_set_print) &&
           find_symbol(handle, "bpf_object__open_mem", to.bpf_object__open_mem) &&
           find_symbol(handle, "bpf_object__load", to.bpf_object__load) &&
           find_symbol(handle, "bpf_object__close", to.bpf_object__close) &&
           find_symbol(handle, "bpf_object__next_program", to.bpf_object__next_program) &&
           find_symbol(handle, "bpf_program__name", to.bpf_program__name) &&
           find_symbol(handle, "bpf_program__section_name", to.bpf_program__section_name) &&
           find_symbol(handle, "bpf_program__fd", to.bpf_program__fd) &&
           find_symbol(handle, "bpf_program__set_type", to.bpf_program__set_type) &&
           find_symbol(handle, "bpf_program__set_autoload", to.bpf_program__set_autoload) &&
           find_symbol(handle, "bpf_program__set_log_level", to.bpf_program__set_log_level) &&
           find_symbol(handle, "bpf_object__next_map", to.bpf_object__next_map) &&
           find_symbol(handle, "bpf_map__name", to.bpf_map__name) &&
           find_symbol(handle, "bpf_map__fd", to.bpf_map__fd) &&
           find_symbol(handle, "bpf_map__reuse_fd", to.bpf_map__reuse_fd);
  });
  return found.get();
}

constexpr const char* kBeginOfLog = "-- BEGIN PROG LOAD LOG --";

struct Said {
  std::string all;
  std::string complaints;
};

// Guarded by the lock of load_core_object.
Said* printed = nullptr;

__attribute__((format(printf, 2, 0))) int keep(int level, const char* format, va_list arguments) {
  constexpr int kWarning = 0;  // what goes wrong; the verifier's log of a refused program is among it
  const bool accepted = level > kWarning && std::strstr(format, kBeginOfLog) != nullptr;
  if ((level > kWarning && !accepted) || printed == nullptr) return 0;
  va_list again;
  va_copy(again, arguments);
  const int size = std::vsnprintf(nullptr, 0, format, arguments);
  if (size > 0) {
    std::string text(static_cast<std::size_t>(size) + 1, '\0');
    std::vsnprintf(text.data(), text.size(), format, again);
    text.pop_back();
    printed->all += text;
    if (!accepted) printed->complaints += text;
  }
  va_end(again);
  return size;
}

// What went wrong, in libbpf's words: its first complaint after those that it got over (what it tries again, types that
// the kernel refuses and a program can do without), or within the verifier's log the line before its summary.
std::string complaint(const std::string& said) {
  const std::size_t begin = said.find(kBeginOfLog);
  if (begin != std::string::npos) {
    const std::size_t from = said.find('\n', begin);
    const std::size_t end = said.find("-- END PROG LOAD LOG --", begin);
    if (from != std::string::npos && end != std::string::npos)
      return last_words(said.substr(from, said.rfind('\n', end) - from));
  }
  // What comes before such words did no harm.
  std::string first;
  for (std::size_t from = 0; from < said.size();) {
    const std::size_t end = std::min(said.find('\n', from), said.size());
    const std::string line = said.substr(from, end - from);
    const bool harmless = line.find("Retrying") != std::string::npos || line.find(", ignoring") != std::string::npos;
    if (harmless) first.clear();
    else if (first.empty()) first = line;
    from = end + 1;
  }
  if (first.rfind("libbpf: ", 0) == 0) first.erase(0, 8);
  return first;
}

class Loader {
 public:
  Loader(const Library& library, const CoreOptions& options) : library_(library), options_(options) {
    printed = &said_;
    before_ = library_.libbpf_set_print(keep);
  }
  ~Loader() {
    if (object_ != nullptr) library_.bpf_object__close(object_);
    library_.libbpf_set_print(before_);
    printed = nullptr;
    if (options_.log != nullptr) *options_.log = said_.all;
  }
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  Result<CoreObject> load(ByteSpan bytes) {
    const OpenOptions open{.object_name = options_.name.c_str()};
    object_ = library_.bpf_object__open_mem(bytes.data(), bytes.size(), &open);
    if (object_ == nullptr) return refused("open the object", errno);
    WEIR_CHECK(choose());
    if (const int status = library_.bpf_object__load(object_); status != 0) return refused("load the object", -status);
    return take();
  }

 private:
  tl::unexpected<Error> refused(const std::string& what, int error) const {
    Error made = system_failure("libbpf: " + what, error);
    made.hint = complaint(said_.complaints);
    if (made.hint.empty() && error == EPERM) made.hint = "bpf(2) needs CAP_BPF (root has it)";
    return fail(std::move(made));
  }

  template <typename Use>
  void each_program(Use use) const {
    for (bpf_program* program = library_.bpf_object__next_program(object_, nullptr); program != nullptr;
         program = library_.bpf_object__next_program(object_, program))
      use(program, library_.bpf_program__name(program), library_.bpf_program__section_name(program));
  }
  template <typename Use>
  void each_map(Use use) const {
    for (bpf_map* map = library_.bpf_object__next_map(object_, nullptr); map != nullptr;
         map = library_.bpf_object__next_map(object_, map))
      use(map, library_.bpf_map__name(map));
  }

  // Which programs, of which type, with which maps.
  Status choose() {
    bool any = options_.only.empty();
    each_program([&](bpf_program* program, const char* name, const char* section) {
      const bool wanted = options_.only.empty() || options_.only == name || options_.only == section;
      any = any || wanted;
      // A section "?xdp" is loaded only when it is asked for.
      if (!options_.only.empty() && (wanted || !options_.others)) library_.bpf_program__set_autoload(program, wanted);
      library_.bpf_program__set_log_level(program, options_.log_level);
      if (wanted && options_.type != ebpf::ProgramType::kUnspec)
        library_.bpf_program__set_type(program, static_cast<unsigned>(options_.type));
    });
    if (!any)
      return fail(Error{.code = ErrorCode::kUsage, .message = fmt::format("there is no program '{}'", options_.only)});
    for (const auto& replacement : options_.maps) {
      const std::string& name = replacement.first;
      int status = -ENOENT;
      each_map([&](bpf_map* theirs, const char* known) {
        if (name == known) status = library_.bpf_map__reuse_fd(theirs, replacement.second->descriptor());
      });
      if (status == -ENOENT)
        return fail(Error{.code = ErrorCode::kUsage, .message = fmt::format("there is no map '{}'", name)});
      if (status != 0) return refused(fmt::format("use another map as '{}'", name), -status);
    }
    return {};
  }

  Result<CoreObject> take() const {
    CoreObject out;
    Status status;
    const auto copy = [&](int descriptor) {
      const int mine = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
      if (mine < 0) status = fail(system_failure("duplicate a descriptor", errno));
      return FileDescriptor(mine);
    };
    each_program([&](bpf_program* program, const char* name, const char* section) {
      if (const int descriptor = library_.bpf_program__fd(program); descriptor >= 0)
        out.programs.push_back({name, section, Program::adopt(copy(descriptor))});
    });
    each_map([&](bpf_map* map, const char* name) {
      const int descriptor = library_.bpf_map__fd(map);
      if (descriptor < 0) return;
      Result<Map> adopted = Map::adopt(copy(descriptor));
      if (adopted) out.maps.push_back({name, std::move(*adopted)});
      else status = fail(std::move(adopted).error());
    });
    if (!status) return fail(std::move(status).error());
    return out;
  }

  const Library& library_;
  const CoreOptions& options_;
  Said said_;
  PrintFunction before_ = nullptr;
  bpf_object* object_ = nullptr;
};

}  // namespace

Result<CoreObject> load_core_object(ByteSpan bytes, const CoreOptions& options) {
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  const Library* const library = find_library();
  if (library == nullptr)
    return fail(Error{.code = ErrorCode::kUnsupported,
                      .message = "libbpf is not installed, and objects with CO-RE relocations need it",
                      .hint = "apt install libbpf1"});
  return Loader(*library, options).load(bytes);
}

}  // namespace weir::kernel
