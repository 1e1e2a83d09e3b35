// Source -> engines -> sinks. Exports Filter.
//
// Plain records are taken region by region, all others batch by batch, in turns: a region ends at the first record that
// is not plain; read() hands that one out, with whatever must be said about it, and a region may follow again. So
// damage, warnings, new sections and conversions have one implementation, the source's, and the fast path none.
//
// A mapped region is cut into segments, which this thread and its helpers walk. Results are taken in order: a segment
// counts when it begins where the one before ended (then all that was found in it is right), and is walked again from
// there when it does not.
#include <weir/pipe/filter.h>

#include <algorithm>
#include <cerrno>

#include "pipe/segment_walk.h"
#include "pipe/segments.h"
#include "pipe/workers.h"

namespace weir::pipe {

class Filter::Run {
 public:
  Run(std::vector<Job> jobs, FilterOptions options) : options_(std::move(options)) {
    for (Job& job : jobs) jobs_.push_back({std::move(job), {}, {}});
    statistics_.jobs.resize(jobs_.size());
    if (options_.threads == 0) options_.threads = std::max(1u, std::thread::hardware_concurrency());
  }

  Status run(capture::Source& source);
  const Statistics& statistics() const { return statistics_; }

 private:
  struct Loaded {
    packet::LinkType link_type;
    std::unique_ptr<engine::Engine> engine;
  };
  struct RunningJob {
    Job job;
    std::vector<Loaded> engines;
    std::vector<std::uint32_t> verdicts;
    bool closed = false;  // whoever reads what is written has gone
    bool writes() const { return job.sink != nullptr && !closed; }
  };
  // How far a region was taken.
  struct Taken {
    std::uint64_t position = 0;
    bool stopped = false;
    bool mapped = false;
  };

  Result<const engine::Engine*> engine(RunningJob& job, const capture::Interface& interface);
  Status written(RunningJob& job, Status status);
  Status flush_before_waiting(const capture::Source& source);
  Status take_batch(const capture::Source& source, const capture::RecordBatch& batch);
  Result<Taken> take_region(capture::Source& source);
  bool plan(capture::Source& source, const capture::Region& region, RegionWork& work);
  const engine::Joined* join(const std::vector<RegionJob>& jobs);
  Status take_mapped(const capture::Source& source, const RegionWork& work, Taken& taken);
  Status take_finished(const capture::Source& source, const RegionWork& work, Taken& taken);
  Status take_guessed(const capture::Source& source, const RegionWork& work, const SegmentResult& guessed,
                      Taken& taken);
  Status take_segment(const RegionWork& work, const SegmentResult& segment, Taken& taken);
  void report_progress() const {
    if (options_.progress) options_.progress(statistics_);
  }

  FilterOptions options_;
  std::vector<RunningJob> jobs_;
  Statistics statistics_;
  struct JoinedJobs {
    std::vector<const engine::Engine*> engines;
    std::unique_ptr<engine::Joined> joined;  // null: not worth it
  };
  std::vector<JoinedJobs> joined_;
  SegmentResult known_;  // of what is walked again, and of what is in a buffer
  std::unique_ptr<Segments> segments_;
  std::unique_ptr<Workers> workers_;
};

Result<const engine::Engine*> Filter::Run::engine(RunningJob& job, const capture::Interface& interface) {
  for (const Loaded& loaded : job.engines)
    if (loaded.link_type == interface.link_type) return loaded.engine.get();
  WEIR_TRY(std::unique_ptr<engine::Engine> made, job.job.engine_for(interface));
  job.engines.push_back({interface.link_type, std::move(made)});
  return job.engines.back().engine.get();
}

// A pipe that nobody reads ends its own job, and the run with the last one that has something to do.
Status Filter::Run::written(RunningJob& job, Status status) {
  if (status || status.error().system_error != EPIPE) return status;
  job.closed = true;
  const bool goes_on = std::any_of(jobs_.begin(), jobs_.end(), [](const RunningJob& one) { return !one.closed; });
  return goes_on ? Status{} : status;
}

// What was found must not wait for what a pipe may bring much later.
Status Filter::Run::flush_before_waiting(const capture::Source& source) {
  if (!source.would_wait()) return {};
  for (RunningJob& job : jobs_)
    if (job.writes()) WEIR_CHECK(written(job, job.job.sink->flush()));
  return {};
}

// A batch may mix interfaces: it is judged in stretches of packets of one interface.
Status Filter::Run::take_batch(const capture::Source& source, const capture::RecordBatch& batch) {
  for (std::size_t j = 0; j < jobs_.size(); ++j) {
    RunningJob& job = jobs_[j];
    job.verdicts.resize(batch.packets.size());
    for (std::size_t begin = 0; begin < batch.packets.size();) {
      const std::uint32_t interface = batch.records[begin].interface;
      std::size_t end = begin + 1;
      while (end < batch.packets.size() && batch.records[end].interface == interface) ++end;
      WEIR_TRY(const engine::Engine* const runs, engine(job, source.interfaces()[interface]));
      runs->run(packet::Batch(batch.packets).subspan(begin, end - begin),
                std::span(job.verdicts).subspan(begin, end - begin));
      begin = end;
    }
    for (std::size_t i = 0; i < batch.packets.size(); ++i) {
      if (job.verdicts[i] == 0) continue;
      ++statistics_.jobs[j].packets;
      if (options_.matched_bytes) statistics_.jobs[j].bytes += batch.packets[i].length;
    }
  }
  for (const packet::Packet& packet : batch.packets) statistics_.bytes += packet.length;
  statistics_.packets += batch.packets.size();
  for (RunningJob& job : jobs_)
    if (job.writes()) WEIR_CHECK(written(job, job.job.sink->write(batch, job.verdicts)));
  return {};
}

// Whether all that the jobs need of this region can be had without looking at records one by one.
bool Filter::Run::plan(capture::Source& source, const capture::Region& region, RegionWork& work) {
  work.region = &region;
  work.matched_bytes = options_.matched_bytes;
  for (RunningJob& job : jobs_) {
    RegionJob plan;
    plan.writes = job.writes();
    if (plan.writes && !job.job.sink->copies(source)) return false;
    for (std::size_t i = 0; i < region.layout.limits.size(); ++i) {
      const Result<const engine::Engine*> found = engine(job, source.interfaces()[region.layout.first_interface + i]);
      if (!found) return false;  // read() finds a packet of this interface, or none
      plan.engines.push_back(*found);
      plan.uniform = plan.uniform && *found == plan.engines.front();
    }
    work.jobs.push_back(std::move(plan));
  }
  work.joined = join(work.jobs);
  return true;
}

// All jobs as one, where each has one engine for all packets. Made once for the same engines.
const engine::Joined* Filter::Run::join(const std::vector<RegionJob>& jobs) {
  std::vector<const engine::Engine*> engines;
  for (const RegionJob& job : jobs)
    if (job.uniform && !job.engines.empty()) engines.push_back(job.engines.front());
  if (jobs.size() < 2 || engines.size() != jobs.size()) return nullptr;
  for (const JoinedJobs& made : joined_)
    if (made.engines == engines) return made.joined.get();
  std::unique_ptr<engine::Joined> joined = engine::join(engines);
  joined_.push_back({std::move(engines), std::move(joined)});
  return joined_.back().joined.get();
}

Status Filter::Run::take_segment(const RegionWork& work, const SegmentResult& segment, Taken& taken) {
  statistics_.packets += segment.packets;
  statistics_.bytes += segment.bytes;
  for (std::size_t j = 0; j < jobs_.size(); ++j) {
    statistics_.jobs[j].packets += segment.jobs[j].packets;
    statistics_.jobs[j].bytes += segment.jobs[j].bytes;
    if (segment.jobs[j].ranges.empty() || !jobs_[j].writes()) continue;
    const std::uint8_t* const base = work.region->bytes.data() + segment.segment.begin;
    WEIR_CHECK(written(jobs_[j], jobs_[j].job.sink->append(base, segment.jobs[j].ranges)));
  }
  taken.position = segment.end;
  taken.stopped = segment.stopped;
  return {};
}

// Takes the segment that follows, from taken.position on. What lies before a guess that was too late is walked first;
// when that ends where the guess was, the guess is proved too.
Status Filter::Run::take_guessed(const capture::Source& source, const RegionWork& work, const SegmentResult& guessed,
                                 Taken& taken) {
  const capture::Segment segment = guessed.segment;
  while (taken.position < segment.limit && !taken.stopped) {
    if (taken.position == segment.begin) return take_segment(work, guessed, taken);
    walk_known(work, {taken.position, taken.position < segment.begin ? segment.begin : segment.limit}, known_);
    WEIR_CHECK(source.check_region());
    WEIR_CHECK(take_segment(work, known_, taken));
  }
  return {};
}

// Takes all segments that are finished and follow. Each is looked at first and the file then: what was found before the
// file became shorter is right.
Status Filter::Run::take_finished(const capture::Source& source, const RegionWork& work, Taken& taken) {
  while (!taken.stopped) {
    const SegmentResult* const result = segments_->front();
    if (result == nullptr) return {};
    WEIR_CHECK(source.check_region());
    WEIR_CHECK(take_guessed(source, work, *result, taken));
    segments_->pop();
    report_progress();
  }
  return {};
}

namespace {

// Gives free cursors a segment each, where there are any; guesses where its first record starts.
void fill(SegmentWalk& walk, Segments& segments, const capture::Region& region) {
  while (walk.has_free()) {
    SegmentResult* const result = segments.give();
    if (result == nullptr) return;
    capture::Segment& where = result->segment;
    if (where.begin != 0) where.begin = capture::find_record(region, where.begin, where.limit).value_or(where.limit);
    result->end = where.begin;
    if (where.begin < where.limit) walk.start(*result);
    else segments.finish(*result);
  }
}

void help(Segments& segments, const RegionWork& work) {
  SegmentWalk walk(work);
  do {
    fill(walk, segments, *work.region);
    while (walk.is_running() && !segments.is_cancelled()) {
      SegmentResult* const result = walk.step();
      if (result == nullptr) continue;
      segments.finish(*result);
      fill(walk, segments, *work.region);
    }
  } while (segments.wait_for_room());
}

}  // namespace

// This thread walks as its helpers do, and takes results as soon as they are there. Where packets are written and there
// are several helpers it only takes: they would all wait for it else.
Status Filter::Run::take_mapped(const capture::Source& source, const RegionWork& work, Taken& taken) {
  constexpr std::uint64_t kWorthAThread = 1 << 20;
  const std::uint64_t size = work.region->bytes.size();
  const std::uint64_t parts = options_.segment_size != 0 ? size / options_.segment_size : size / kWorthAThread;
  auto helpers = static_cast<unsigned>(std::min<std::uint64_t>(options_.threads - 1, parts));
  if (helpers > 0 && workers_ == nullptr) workers_ = std::make_unique<Workers>(options_.threads - 1);
  if (workers_ != nullptr) helpers = std::min(helpers, workers_->helpers());
  if (segments_ == nullptr)
    segments_ =
        std::make_unique<Segments>(SegmentsOptions{.threads = options_.threads, .segment_size = options_.segment_size});
  segments_->reset(work);
  std::vector<Workers::Task> tasks(helpers);
  for (Workers::Task& task : tasks) {
    task.work = [this, &work] { help(*segments_, work); };
    workers_->submit(task);
  }
  const bool writes = std::any_of(work.jobs.begin(), work.jobs.end(), [](const RegionJob& job) { return job.writes; });
  const bool walks = helpers < 2 || !writes;
  SegmentWalk walk(work);
  Status status;
  while (status && !taken.stopped && !segments_->is_done()) {
    if (walks) fill(walk, *segments_, *work.region);
    if (walk.is_running()) {
      // Now and then it looks whether a helper has finished something.
      SegmentResult* result = nullptr;
      for (int batch = 0; batch < 64 && result == nullptr; ++batch) result = walk.step();
      if (result != nullptr) segments_->finish(*result);
    } else {
      segments_->wait_for_front();
    }
    status = take_finished(source, work, taken);
  }
  segments_->cancel();
  for (Workers::Task& task : tasks) workers_->wait(task);
  return status;
}

// Takes what it can of the region that follows; where that is nothing, or a mapped file's region, read() must go on.
Result<Filter::Run::Taken> Filter::Run::take_region(capture::Source& source) {
  const std::optional<capture::Region> region = source.region();
  RegionWork work;
  if (!region || !plan(source, *region, work)) return Taken{};
  Taken taken{.mapped = region->mapped};
  if (region->mapped) {
    WEIR_CHECK(take_mapped(source, work, taken));
  } else {
    // In the cache and in order: one cursor.
    walk_known(work, {0, region->bytes.size()}, known_);
    WEIR_CHECK(take_segment(work, known_, taken));
    report_progress();
  }
  source.consume(taken.position);
  return taken;
}

Status Filter::Run::run(capture::Source& source) {
  // Compiling before reading shows an error in an expression even for a capture without packets.
  for (RunningJob& job : jobs_) {
    for (const capture::Interface& interface : source.interfaces()) WEIR_CHECK(engine(job, interface).map([](auto) {}));
    if (job.writes()) WEIR_CHECK(written(job, job.job.sink->begin(source)));
  }
  constexpr std::uint64_t kWorthIt = 64 * 1024;
  capture::RecordBatch batch;
  unsigned batches = 0;  // to read before a region is tried again
  unsigned pause = 1;    // doubled while regions are not worth it
  for (;;) {
    WEIR_CHECK(flush_before_waiting(source));
    if (batches == 0) {
      WEIR_TRY(const Taken taken, take_region(source));
      if (taken.position > 0 && !taken.mapped) continue;
      if (taken.mapped) pause = taken.position >= kWorthIt ? 1 : std::min(2 * pause, 64u);
      batches = taken.mapped ? pause : 1;
      continue;
    }
    --batches;
    WEIR_TRY(const capture::Read read, source.read(batch));
    WEIR_CHECK(take_batch(source, batch));
    if (read == capture::Read::kEnd) return {};
    report_progress();
  }
}

Filter::Filter(std::vector<Job> jobs, FilterOptions options)
    : run_(std::make_unique<Run>(std::move(jobs), std::move(options))) {}
Filter::~Filter() = default;
Status Filter::run(capture::Source& source) { return run_->run(source); }
const Statistics& Filter::statistics() const { return run_->statistics(); }

}  // namespace weir::pipe
