// What a user, a service manager or a closed terminal sends to end a command that runs for long.
#pragma once

#include <csignal>

namespace weir::tool {

// `handler` gets SIGINT, SIGTERM and SIGHUP; the last one not where it is ignored, as nohup has it.
inline void on_stop_signals(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  ::sigemptyset(&action.sa_mask);
  for (const int number : {SIGINT, SIGTERM}) ::sigaction(number, &action, nullptr);
  struct sigaction inherited {};
  if (::sigaction(SIGHUP, nullptr, &inherited) == 0 && inherited.sa_handler != SIG_IGN)
    ::sigaction(SIGHUP, &action, nullptr);
}

}  // namespace weir::tool
