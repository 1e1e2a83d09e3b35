// A few threads that do tasks in the order they come, and a caller who helps.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace weir::pipe {

class Workers {
 public:
  // `helpers` threads beside the caller's, or as many as the system gives; 0 does everything in the caller's.
  explicit Workers(unsigned helpers) {
    try {
      for (unsigned i = 0; i < helpers; ++i) threads_.emplace_back([this] { serve(); });
    } catch (const std::system_error&) {  // no more of them
    }
  }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  ~Workers() {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  unsigned helpers() const { return static_cast<unsigned>(threads_.size()); }

  struct Task {
    std::function<void()> work;
    bool done = true;
  };

  // The task must stay where it is until wait() returned.
  void submit(Task& task) {
    {
      const std::lock_guard lock(mutex_);
      task.done = false;
      tasks_.push_back(&task);
    }
    changed_.notify_one();
  }

  // Does other tasks until this one is done.
  void wait(const Task& task) {
    std::unique_lock lock(mutex_);
    while (!task.done) {
      if (!tasks_.empty()) do_next(lock);
      else finished_.wait(lock);
    }
  }

 private:
  void do_next(std::unique_lock<std::mutex>& lock) {
    Task* const task = tasks_.front();
    tasks_.pop_front();
    lock.unlock();
    task->work();
    lock.lock();
    task->done = true;
    finished_.notify_all();
  }

  void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return ended_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      do_next(lock);
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;   // there is a task, or the end
  std::condition_variable finished_;  // a task was done
  std::deque<Task*> tasks_;
  bool ended_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace weir::pipe
