// Files that appear only when complete, and outputs that are one. Exports ReplacingFile, would_collide, is_read_from.
//
// ReplacingFile follows the usual recipe: a temporary name in the same folder, rename(2) at the end. Until then the
// file has no name at all where that is possible, so that a process that dies leaves nothing behind. Permissions of a
// file that it replaces are kept, not more: a new owner must not get a set-user-ID file, nor a new group what only the
// old one could read. A symbolic link is followed, so the link stays.
// In place is written what a rename would destroy or could not reach: devices and pipes; streams that the process was
// given, by a duplicate of the descriptor, since opening /dev/fd/N again has an offset of its own or fails (sockets);
// files that are a mount by themselves; files in folders where we may not make or rename files. Which of these holds is
// found out in create(), before the work. Such a file is emptied at once and not replaced as a whole.
#include <weir/base/file.h>

#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <fcntl.h>
#include <optional>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <utility>

namespace weir {
namespace {

std::string quoted(const std::string& path) { return path == "-" ? "standard output" : "'" + path + "'"; }

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash + 1);
}

// N of /dev/fd/N and /proc/self/fd/N.
std::optional<int> stream_named(std::string_view path) {
  for (const std::string_view folder : {"/dev/fd/", "/proc/self/fd/"}) {
    if (!path.starts_with(folder)) continue;
    const std::string_view digits = path.substr(folder.size());
    int number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error == std::errc() && end == digits.data() + digits.size() && number >= 0) return number;
  }
  return {};
}

std::string path_of(int descriptor) { return "/proc/self/fd/" + std::to_string(descriptor); }

// Where a path leads to.
struct Target {
  std::string path;           // with symbolic links followed in its last part
  std::optional<int> stream;  // a descriptor of this process
  struct stat status {};
  int error = 0;  // why there is no status
  bool exists() const { return error == 0; }
  bool is_same(const struct stat& other) const {
    return status.st_dev == other.st_dev && status.st_ino == other.st_ino;
  }
};

Target target_of(const std::string& path, int dash) {
  Target target{.path = path, .stream = path == "-" ? std::optional(dash) : stream_named(path)};
  for (int links = 0; links < 40 && !target.stream; ++links) {  // as many as Linux follows (path_resolution(7))
    char link[PATH_MAX];
    const ssize_t length = ::readlink(target.path.c_str(), link, sizeof link);
    if (length <= 0) break;
    const std::string next(link, static_cast<std::size_t>(length));
    target.path = next.front() == '/' ? next : folder_of(target.path) + next;
    target.stream = stream_named(target.path);
  }
  const int result = target.stream ? ::fstat(*target.stream, &target.status) : ::stat(path.c_str(), &target.status);
  if (result != 0) target.error = errno;
  return target;
}

// Links of /proc may tell of a file that has another name by now, or none.
bool is_still_there(const Target& target) {
  struct stat status {};
  return ::stat(target.path.c_str(), &status) == 0 && target.is_same(status);
}

bool is_mount(const std::string& path) {
  struct statx status {};
  return ::statx(AT_FDCWD, path.c_str(), 0, 0, &status) == 0 && (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

// In a folder such as /tmp only its owner, the file's owner and root may rename over a file.
bool is_kept_by_folder(const Target& target) {
  struct stat folder {};
  const std::string path = folder_of(target.path) + ".";
  const uid_t user = ::geteuid();
  return ::stat(path.c_str(), &folder) == 0 && (folder.st_mode & S_ISVTX) != 0 && user != 0 && user != folder.st_uid &&
         user != target.status.st_uid;
}

// A new file gets the owner, the group and the permissions of the one it is to replace, as far as we may.
void take_over(int descriptor, const struct stat& old) {
  mode_t mode = old.st_mode & 0777;
  if (::fchown(descriptor, old.st_uid, old.st_gid) != 0 &&
      ::fchown(descriptor, static_cast<uid_t>(-1), old.st_gid) != 0)
    mode &= ~static_cast<mode_t>(070) | (mode & 07) << 3;  // another group: no more than everybody
  (void)::fchmod(descriptor, mode);                        // where it fails, nobody but us may read the file
}

// A file in this folder that has no name, but can get one; none where the system has no such files.
FileDescriptor open_without_name(const std::string& folder) {
  FileDescriptor file(::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
  if (file && ::access(path_of(file.get()).c_str(), F_OK) != 0) return {};
  return file;
}

bool throws_away(const struct stat& status) {
  if (!S_ISCHR(status.st_mode) || major(status.st_rdev) != 1) return false;
  const unsigned number = minor(status.st_rdev);  // Documentation/admin-guide/devices.txt: null, zero, full
  return number == 3 || number == 5 || number == 7;
}

}  // namespace

Result<ReplacingFile> ReplacingFile::create(const std::string& path) {
  ReplacingFile file;
  file.path_ = path;
  const auto refuse = [&path](int error) { return fail(system_failure("cannot write " + quoted(path), error)); };
  if (path.empty()) return refuse(ENOENT);
  const Target target = target_of(path, STDOUT_FILENO);
  if (target.stream) {
    const int flags = ::fcntl(*target.stream, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) return refuse(EBADF);
    file.descriptor_ = FileDescriptor(::fcntl(*target.stream, F_DUPFD_CLOEXEC, 3));
    if (!file.descriptor_) return refuse(errno);
    return file;
  }
  if (!target.exists() && target.error != ENOENT) return refuse(target.error);
  if (target.exists() && S_ISDIR(target.status.st_mode)) return refuse(EISDIR);
  const auto in_place = [&]() -> Result<ReplacingFile> {
    const int empty = S_ISREG(target.status.st_mode) ? O_TRUNC : 0;
    file.descriptor_ = FileDescriptor(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY | empty));
    if (!file.descriptor_) return refuse(errno);
    return std::move(file);
  };
  if (target.exists()) {
    if (!S_ISREG(target.status.st_mode)) return in_place();
    if (::access(path.c_str(), W_OK) != 0) return refuse(errno);
    if (!is_still_there(target) || is_mount(target.path) || is_kept_by_folder(target)) return in_place();
  }
  std::string beside = folder_of(target.path) + ".weir-XXXXXX";
  file.descriptor_ = open_without_name(folder_of(target.path) + ".");
  file.unnamed_ = static_cast<bool>(file.descriptor_);
  if (!file.unnamed_) file.descriptor_ = FileDescriptor(::mkostemp(beside.data(), O_CLOEXEC));
  if (!file.descriptor_) {
    if (target.exists() && (errno == EACCES || errno == EPERM || errno == EROFS)) return in_place();
    return refuse(errno);
  }
  file.path_ = target.path;
  if (!file.unnamed_) file.beside_ = beside;
  if (target.exists()) {
    take_over(file.descriptor(), target.status);
  } else {
    const mode_t mask = ::umask(0);
    ::umask(mask);
    (void)::fchmod(file.descriptor(), 0666 & ~mask);
  }
  return file;
}

ReplacingFile::ReplacingFile(ReplacingFile&& other) noexcept { *this = std::move(other); }

ReplacingFile& ReplacingFile::operator=(ReplacingFile&& other) noexcept {
  if (this != &other) {
    discard();
    descriptor_ = std::move(other.descriptor_);
    path_ = std::move(other.path_);
    beside_ = std::move(other.beside_);
    unnamed_ = std::exchange(other.unnamed_, false);
    other.beside_.clear();
  }
  return *this;
}

ReplacingFile::~ReplacingFile() { discard(); }

void ReplacingFile::discard() {
  if (!beside_.empty()) ::unlink(beside_.c_str());
  beside_.clear();
}

// A temporary one, by which rename(2) can put the file in the place of another.
Status ReplacingFile::give_name() {
  constexpr int kTries = 100;
  for (int i = 0; i < kTries; ++i) {
    std::uint32_t number = 0;
    if (::getrandom(&number, sizeof number, 0) != sizeof number) break;
    const std::string name = folder_of(path_) + ".weir-" + std::to_string(number);
    if (::linkat(AT_FDCWD, path_of(descriptor()).c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0) {
      beside_ = name;
      unnamed_ = false;
      return {};
    }
    if (errno != EEXIST) break;
  }
  return fail(system_failure("cannot write " + quoted(path_), errno));
}

Status ReplacingFile::commit() {
  if (unnamed_) WEIR_CHECK(give_name());
  if (descriptor_ && ::close(descriptor_.release()) != 0)
    return fail(system_failure("cannot write " + quoted(path_), errno));
  if (beside_.empty()) return {};
  if (::rename(beside_.c_str(), path_.c_str()) != 0)
    return fail(system_failure("cannot write " + quoted(path_), errno));
  beside_.clear();
  return {};
}

bool would_collide(const std::string& output, const std::string& other) {
  const Target a = target_of(output, STDOUT_FILENO);
  const Target b = target_of(other, STDOUT_FILENO);
  if (a.exists() && b.exists()) return a.is_same(b.status) && !throws_away(a.status);
  if (a.exists() != b.exists()) return false;
  const auto name = [](const Target& target) { return target.path.substr(folder_of(target.path).size()); };
  const Target folder = target_of(folder_of(a.path) + ".", -1);
  const Target other_folder = target_of(folder_of(b.path) + ".", -1);
  if (!folder.exists() || !other_folder.exists()) return a.path == b.path;
  return folder.is_same(other_folder.status) && name(a) == name(b);
}

bool is_read_from(const std::string& output, const std::string& input) {
  const Target to = target_of(output, STDOUT_FILENO);
  const Target from = target_of(input, STDIN_FILENO);
  return to.exists() && from.exists() && S_ISREG(to.status.st_mode) && to.is_same(from.status);
}

}  // namespace weir
