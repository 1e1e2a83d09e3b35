// Descriptors, whole files, and files that appear only when complete. Exports FileDescriptor and ReplacingFile.
//
// ReplacingFile follows the usual recipe: a temporary name in the same folder, rename(2) at the end. It keeps the mode
// of a file that it replaces. A path that leads to something else than a regular file is written in place, since a
// rename would put a file where a device or a pipe was; a symbolic link is followed, so the link stays.
#include <weir/base/file.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace weir {
namespace {

std::string quoted(std::string_view path) {
  if (path == "-") return "standard input";
  return "'" + std::string(path) + "'";
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash + 1);
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

Result<ReplacingFile> ReplacingFile::create(const std::string& path) {
  ReplacingFile file;
  file.path_ = path;
  if (path == "-") {
    file.descriptor_ = FileDescriptor(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
    if (!file.descriptor_) return fail(system_failure("cannot write standard output", errno));
    return file;
  }
  struct stat status {};
  const bool exists = ::stat(path.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) return fail(system_failure("cannot write " + quoted(path), EISDIR));
  if (exists && !S_ISREG(status.st_mode)) {
    file.descriptor_ = FileDescriptor(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
    if (!file.descriptor_) return fail(system_failure("cannot write " + quoted(path), errno));
    return file;
  }
  if (exists && ::access(path.c_str(), W_OK) != 0) return fail(system_failure("cannot write " + quoted(path), errno));
  if (exists) {
    char resolved[PATH_MAX];
    if (::realpath(path.c_str(), resolved) != nullptr) file.path_ = resolved;
  }
  std::string beside = folder_of(file.path_) + ".weir-XXXXXX";
  file.descriptor_ = FileDescriptor(::mkostemp(beside.data(), O_CLOEXEC));
  if (!file.descriptor_) return fail(system_failure("cannot write " + quoted(path), errno));
  file.beside_ = beside;
  const mode_t mask = ::umask(0);
  ::umask(mask);
  ::fchmod(file.descriptor_.get(), exists ? status.st_mode & 07777 : 0666 & ~mask);
  return file;
}

ReplacingFile::ReplacingFile(ReplacingFile&& other) noexcept { *this = std::move(other); }

ReplacingFile& ReplacingFile::operator=(ReplacingFile&& other) noexcept {
  if (this != &other) {
    discard();
    descriptor_ = std::move(other.descriptor_);
    path_ = std::move(other.path_);
    beside_ = std::move(other.beside_);
    other.beside_.clear();
  }
  return *this;
}

ReplacingFile::~ReplacingFile() { discard(); }

void ReplacingFile::discard() {
  if (!beside_.empty()) ::unlink(beside_.c_str());
  beside_.clear();
}

Status ReplacingFile::commit() {
  if (beside_.empty()) return {};
  if (::rename(beside_.c_str(), path_.c_str()) != 0)
    return fail(system_failure("cannot write " + quoted(path_), errno));
  beside_.clear();
  return {};
}

}  // namespace weir
