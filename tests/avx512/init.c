// The first and only process of the emulated machine: says what the processor can do, runs the tests that the kernel's
// command line names after "--", says how they ended, and turns the machine off. See run.py.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static void turn_off(void) {
  fflush(stdout);
  tcdrain(1);
  if (iopl(3) == 0)
    for (const char* at = "Shutdown"; *at != 0; ++at) outb(*at, 0x8900);  // Bochs's port for that
  for (;;) pause();
}

int main(int argc, char** argv) {
  mount("none", "/dev", "devtmpfs", 0, "");
  mount("none", "/proc", "proc", 0, "");
  mount("none", "/tmp", "tmpfs", 0, "");
  const int console = open("/dev/ttyS0", O_RDWR);
  for (int i = 0; i < 3 && console >= 0; ++i) dup2(console, i);
  __builtin_cpu_init();
  printf("processor: avx512f %d, avx512bw %d, avx512dq %d, avx512vl %d\n", __builtin_cpu_supports("avx512f") != 0,
         __builtin_cpu_supports("avx512bw") != 0, __builtin_cpu_supports("avx512dq") != 0,
         __builtin_cpu_supports("avx512vl") != 0);
  fflush(stdout);
  int status = 0;
  const pid_t child = fork();
  if (child == 0) {
    execv("/tests", argv);
    perror("/tests");
    _exit(126);
  }
  (void)argc;
  if (child < 0 || waitpid(child, &status, 0) != child) {
    puts("exit: 125");
  } else {
    printf("exit: %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  }
  turn_off();
}
