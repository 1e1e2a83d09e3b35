// Descriptors and whole small files. Exports FileDescriptor, open_for_reading, write_all and read_whole_file.
#include <weir/base/file.h>

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace weir {
namespace {

std::string quoted(std::string_view path) {
  if (path == "-") return "standard input";
  return "'" + std::string(path) + "'";
}

}  // namespace

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = other.release();
  }
  return *this;
}

FileDescriptor::~FileDescriptor() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

int FileDescriptor::release() {
  const int descriptor = descriptor_;
  descriptor_ = -1;
  return descriptor;
}

Result<FileDescriptor> open_for_reading(const std::string& path) {
  const int descriptor =
      path == "-" ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (descriptor < 0) return fail(system_failure("cannot open " + quoted(path), errno));
  FileDescriptor file(descriptor);
  struct stat status {};
  if (::fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode))
    return fail(system_failure("cannot read " + quoted(path), EISDIR));
  return file;
}

Status write_all(int descriptor, ByteSpan bytes, std::string_view name) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      const std::string what = name == "-" ? "standard output" : "'" + std::string(name) + "'";
      return fail(system_failure("cannot write " + what, errno));
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Result<std::string> read_whole_file(const std::string& path, std::size_t limit) {
  WEIR_TRY(const FileDescriptor file, open_for_reading(path));
  std::string text;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t got = ::read(file.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(system_failure("cannot read " + quoted(path), errno));
    if (got == 0) return text;
    text.append(buffer, static_cast<std::size_t>(got));
    if (text.size() > limit)
      return fail(Error{.code = ErrorCode::kLimit,
                        .message = quoted(path) + " is longer than " + std::to_string(limit) + " bytes",
                        .place = OffsetPlace{limit}});
  }
}

}  // namespace weir
