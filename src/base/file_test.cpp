#include <weir/base/file.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace weir {
namespace {

namespace fs = std::filesystem;

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = fs::temp_directory_path() / "weir-file-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string path(const char* name) const { return folder_ / name; }
  std::size_t entries() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
  static ByteSpan bytes(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
  }
  void put(const std::string& name, std::string_view text) {
    auto file = ReplacingFile::create(name);
    ASSERT_TRUE(file);
    ASSERT_TRUE(write_all(file->descriptor(), bytes(text), name));
    ASSERT_TRUE(file->commit());
  }
  fs::path folder_;
};

// Runs `body` in a process of its own, since it takes away rights for good; gives its exit status. Expectations must be
// in the return value.
template <typename Body>
int in_a_child(const Body& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = -1;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

constexpr int kGood = 0;
constexpr int kBad = 1;
constexpr int kCannotTry = 77;
constexpr uid_t kNobody = 65534;

TEST_F(FileTest, NothingStaysOfAProcessThatIsKilled) {
  put(path("old"), "old");
  for (const char* name : {"old", "new"}) {
    const pid_t child = ::fork();
    if (child == 0) {
      const auto file = ReplacingFile::create(path(name));
      if (file && write_all(file->descriptor(), bytes("half"), name)) ::raise(SIGKILL);
      ::_exit(kBad);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    if (const FileDescriptor unnamed(::open(folder_.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600)); !unnamed)
      GTEST_SKIP() << "this file system has no files without names";
    EXPECT_EQ(entries(), 1u) << name;
  }
  EXPECT_EQ(*read_whole_file(path("old")), "old");
}

TEST_F(FileTest, AppearsOnlyWhenCommitted) {
  auto file = ReplacingFile::create(path("a"));
  ASSERT_TRUE(file);
  ASSERT_TRUE(write_all(file->descriptor(), bytes("hello"), "a"));
  EXPECT_FALSE(fs::exists(path("a")));
  ASSERT_TRUE(file->commit());
  EXPECT_EQ(*read_whole_file(path("a")), "hello");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FileTest, LeavesNothingWithoutCommit) {
  { auto file = ReplacingFile::create(path("a")); }
  EXPECT_EQ(entries(), 0u);
}

TEST_F(FileTest, KeepsTheModeAndTheLink) {
  {
    auto file = ReplacingFile::create(path("target"));
    ASSERT_TRUE(file->commit());
  }
  fs::permissions(path("target"), fs::perms::owner_read | fs::perms::owner_write);
  fs::create_symlink("target", path("link"));
  auto file = ReplacingFile::create(path("link"));
  ASSERT_TRUE(file);
  ASSERT_TRUE(write_all(file->descriptor(), bytes("x"), "link"));
  ASSERT_TRUE(file->commit());
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_EQ(*read_whole_file(path("target")), "x");
  EXPECT_EQ(fs::status(path("target")).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(FileTest, WritesADeviceInPlace) {
  auto file = ReplacingFile::create("/dev/full");
  ASSERT_TRUE(file);
  const Status status = write_all(file->descriptor(), bytes("x"), "/dev/full");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().system_error, ENOSPC);
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
}

TEST_F(FileTest, FollowsALinkToNothing) {
  fs::create_directory(path("sub"));
  fs::create_symlink("sub/target", path("link"));
  put(path("link"), "x");
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_EQ(*read_whole_file(path("sub/target")), "x");
  fs::create_symlink("loop", path("loop"));
  EXPECT_EQ(ReplacingFile::create(path("loop")).error().system_error, ELOOP);
  EXPECT_EQ(ReplacingFile::create("").error().system_error, ENOENT);
}

TEST_F(FileTest, NeverMakesASetUserIdFile) {
  put(path("a"), "old");
  ASSERT_EQ(::chmod(path("a").c_str(), 07751), 0);
  put(path("a"), "new");
  struct stat status {};
  ASSERT_EQ(::stat(path("a").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0751u);
}

TEST_F(FileTest, KeepsTheOwner) {
  put(path("a"), "old");
  if (::chown(path("a").c_str(), kNobody, kNobody) != 0) GTEST_SKIP() << "not root";
  ASSERT_EQ(::chmod(path("a").c_str(), 04640), 0);
  put(path("a"), "new");
  struct stat status {};
  ASSERT_EQ(::stat(path("a").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, kNobody);
  EXPECT_EQ(status.st_gid, kNobody);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
}

// A stream that the process was given is written at its own place, and what stands in it stays.
TEST_F(FileTest, WritesAGivenStreamInPlace) {
  const FileDescriptor given(::open(path("a").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_TRUE(write_all(given.get(), bytes("before "), "a"));
  const std::string name = "/dev/fd/" + std::to_string(given.get());
  fs::create_symlink(name, path("link"));
  for (const std::string& way : {name, path("link")}) {
    auto file = ReplacingFile::create(way);
    ASSERT_TRUE(file);
    EXPECT_FALSE(file->is_new());
    ASSERT_TRUE(write_all(file->descriptor(), bytes("ours "), name));
    ASSERT_TRUE(file->commit());
  }
  ASSERT_TRUE(write_all(given.get(), bytes("after"), "a"));
  EXPECT_EQ(*read_whole_file(path("a")), "before ours ours after");
  const FileDescriptor to_read(::open(path("a").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(ReplacingFile::create("/dev/fd/" + std::to_string(to_read.get())).error().system_error, EBADF);
}

TEST_F(FileTest, WritesInPlaceWhatMayNotBeReplaced) {
  if (::geteuid() != 0) GTEST_SKIP() << "not root";
  put(path("a"), "a longer text");
  ASSERT_EQ(::chmod(path("a").c_str(), 0666), 0);
  for (const mode_t folder_mode : {0755, 01777}) {  // no new files; no file of another replaced
    ASSERT_EQ(::chmod(folder_.c_str(), folder_mode), 0);
    const int result = in_a_child([&] {
      if (::setresuid(kNobody, kNobody, kNobody) != 0) return kCannotTry;
      auto file = ReplacingFile::create(path("a"));
      if (!file || file->is_new() || !write_all(file->descriptor(), bytes("short"), "a")) return kBad;
      return file->commit() ? kGood : kBad;
    });
    if (result == kCannotTry) GTEST_SKIP() << "no other users here";
    EXPECT_EQ(result, kGood);
    EXPECT_EQ(*read_whole_file(path("a")), "short");
  }
}

TEST_F(FileTest, WritesAMountedFileInPlace) {
  if (::geteuid() != 0) GTEST_SKIP() << "not root";
  put(path("a"), "a longer text");
  put(path("mounted"), "");
  const int result = in_a_child([&] {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount(path("a").c_str(), path("mounted").c_str(), nullptr, MS_BIND, nullptr) != 0)
      return kCannotTry;
    auto file = ReplacingFile::create(path("mounted"));
    if (!file || file->is_new() || !write_all(file->descriptor(), bytes("short"), "a")) return kBad;
    return file->commit() ? kGood : kBad;
  });
  if (result == kCannotTry) GTEST_SKIP() << "no mounts here";
  EXPECT_EQ(result, kGood);
  EXPECT_EQ(*read_whole_file(path("a")), "short");
}

// Network file systems and quotas may fail only in close(2): so does the kernel here, for this one descriptor.
TEST_F(FileTest, AFailedCloseIsAnError) {
  const int result = in_a_child([&] {
    auto file = ReplacingFile::create(path("a"));
    if (!file) return kBad;
    sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(file->descriptor()), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EDQUOT),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{sizeof code / sizeof *code, code};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
      return kCannotTry;
    const Status status = file->commit();
    return !status && status.error().system_error == EDQUOT ? kGood : kBad;
  });
  if (result == kCannotTry) GTEST_SKIP() << "no seccomp here";
  EXPECT_EQ(result, kGood);
  EXPECT_EQ(entries(), 0u);
}

TEST_F(FileTest, KnowsOutputsThatAreOne) {
  fs::create_symlink("new", path("link"));
  fs::create_symlink(".", path("here"));
  EXPECT_TRUE(would_collide(path("new"), path("./new")));
  EXPECT_TRUE(would_collide(path("new"), path("link")));
  EXPECT_TRUE(would_collide(path("new"), path("here/new")));
  EXPECT_FALSE(would_collide(path("new"), path("newer")));
  EXPECT_TRUE(would_collide("/nowhere/at/all", "/nowhere/at/all"));
  put(path("new"), "x");
  EXPECT_TRUE(would_collide(path("new"), path("link")));
  EXPECT_FALSE(would_collide(path("new"), path("other")));
  EXPECT_FALSE(would_collide("/dev/null", "/dev/null"));
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const FileDescriptor from(ends[0]);
  const FileDescriptor to(ends[1]);
  EXPECT_TRUE(would_collide("/dev/fd/" + std::to_string(ends[1]), "/proc/self/fd/" + std::to_string(ends[1])));
  EXPECT_TRUE(is_read_from(path("link"), path("new")));
  EXPECT_FALSE(is_read_from(path("other"), path("new")));
  EXPECT_FALSE(is_read_from("/dev/null", "/dev/null"));
}

TEST_F(FileTest, RefusesFoldersAndMissingFiles) {
  EXPECT_FALSE(read_whole_file(folder_));
  EXPECT_FALSE(read_whole_file(path("missing")));
  EXPECT_FALSE(ReplacingFile::create(folder_));
  EXPECT_FALSE(ReplacingFile::create(path("no/such/folder")));
}

TEST_F(FileTest, RefusesFilesOverTheLimit) {
  auto file = ReplacingFile::create(path("a"));
  ASSERT_TRUE(write_all(file->descriptor(), bytes("hello"), "a"));
  ASSERT_TRUE(file->commit());
  EXPECT_FALSE(read_whole_file(path("a"), 4));
  EXPECT_TRUE(read_whole_file(path("a"), 5));
}

}  // namespace
}  // namespace weir
