#include <fmt/format.h>
#include <gibbsite/train/process_group.h>
#include <torch/types.h>

#include <cstdlib>
#include <memory>

#ifdef USE_C10D_GLOO
#include <netdb.h>
#include <sched.h>
#include <sys/socket.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#ifdef USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>
#endif

namespace gibbsite {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::int64_t number(const char* name, std::int64_t low, std::int64_t high) {
  const std::string text = variable(name);
  if (text.empty()) throw RequestError(name, "is not set, and WORLD_SIZE is", "start every rank by torchrun");
  char* end = nullptr;
  const long long value = std::strtoll(text.c_str(), &end, 10);
  if (*end != '\0' || value < low || value > high)
    throw RequestError(name, fmt::format("is '{}', expected a number from {} to {}", text, low, high));
  return value;
}

}  // namespace

std::optional<Launch> launch_from_environment() {
  constexpr std::int64_t kMost = 1 << 20, kPorts = 65535;
  if (variable("WORLD_SIZE").empty()) return std::nullopt;
  Launch launch;
  launch.size = number("WORLD_SIZE", 1, kMost);
  if (launch.size == 1) return std::nullopt;
  launch.rank = number("RANK", 0, launch.size - 1);
  launch.address = variable("MASTER_ADDR");
  if (launch.address.empty()) throw RequestError("MASTER_ADDR", "is not set, and WORLD_SIZE is");
  launch.port = number("MASTER_PORT", 1, kPorts);
  if (!variable("LOCAL_RANK").empty()) launch.local_rank = number("LOCAL_RANK", 0, launch.size - 1);
  if (!variable("LOCAL_WORLD_SIZE").empty()) launch.local_size = number("LOCAL_WORLD_SIZE", 1, launch.size);
  launch.launcher_has_store = variable("TORCHELASTIC_USE_AGENT_STORE") == "True";
  if (!variable("TORCHELASTIC_RESTART_COUNT").empty()) launch.attempt = number("TORCHELASTIC_RESTART_COUNT", 0, kMost);
  launch.interface = variable("GLOO_SOCKET_IFNAME");
  return launch;
}

#ifdef USE_C10D_GLOO

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kArrival{300};       // ranks may start minutes apart
constexpr seconds kBeat{1};            // between signs of life
constexpr seconds kSilence{12};        // after which a rank is given up
constexpr seconds kFarewell{5};        // for which whoever has the store waits for the others to go
constexpr milliseconds kAwake{5};      // of a wait, in which the core is kept awake for Gloo's threads
constexpr milliseconds kSlice{250};    // of a wait, after which it is asked whether the others live
constexpr milliseconds kReason{2500};  // by which the reason may come later than the end of a connection
// Up to so many bytes from all ranks together every rank gathers all and sums itself, which is one round of messages. Two ranks
// always do, because the sum around a ring brings each of them as many bytes.
constexpr std::int64_t kGathered = 1 << 18;
// Gloo's own limit of an exchange; a rank may validate for hours while the others wait.
constexpr std::chrono::hours kPatience{24 * 14};
constexpr const char *kStopped = "stopped", *kGone = "gone";

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string key(const char* what, std::int64_t rank) { return fmt::format("{}/{}", what, rank); }

// The address of this machine from which the store is reached.
std::string own_address(const Launch& launch) {
  addrinfo hints = {}, *found = nullptr;
  hints.ai_socktype = SOCK_DGRAM;
  const std::string port = std::to_string(launch.port);
  if (const int failed = getaddrinfo(launch.address.c_str(), port.c_str(), &hints, &found); failed != 0)
    throw RequestError("MASTER_ADDR", fmt::format("'{}': {}", launch.address, gai_strerror(failed)));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, freeaddrinfo);
  for (const addrinfo* at = found; at; at = at->ai_next) {
    const int socket = ::socket(at->ai_family, SOCK_DGRAM, 0);
    if (socket < 0) continue;
    sockaddr_storage own = {};
    socklen_t length = sizeof own;
    char name[NI_MAXHOST] = "";
    // Connecting a datagram socket sends nothing; it only chooses the way.
    const bool known =
        ::connect(socket, at->ai_addr, at->ai_addrlen) == 0 &&
        getsockname(socket, reinterpret_cast<sockaddr*>(&own), &length) == 0 &&
        getnameinfo(reinterpret_cast<sockaddr*>(&own), length, name, sizeof name, nullptr, 0, NI_NUMERICHOST) == 0;
    ::close(socket);
    if (known) return name;
  }
  throw RequestError("MASTER_ADDR", fmt::format("no network leads to '{}'", launch.address));
}

// Threads that this one starts from here on do not take a core from another when they wake up. Gloo's device thread wakes up on
// a message, and where it displaces a worker that holds their lock it asks for the lock again and again until the scheduler's
// next tick, milliseconds later, lets the worker go on.
void start_patient_threads() {
#ifdef SCHED_BATCH
  const sched_param parameters = {};
  (void)sched_setscheduler(0, SCHED_BATCH, &parameters);
#endif
}

bool is_loopback(const std::string& address) { return address.rfind("127.", 0) == 0 || address == "::1"; }

// A connection to the store. It may be used by one thread only, because a call can wait for an answer.
class Connection {
 public:
  Connection(const Launch& launch, bool serve) {
    c10d::TCPStoreOptions options;
    options.port = static_cast<std::uint16_t>(launch.port);
    options.isServer = serve;
    options.waitWorkers = false;
    options.timeout = kArrival;
    try {
      store_ = c10::make_intrusive<c10d::PrefixStore>(fmt::format("gibbsite/{}", launch.attempt),
                                                      c10::make_intrusive<c10d::TCPStore>(launch.address, options));
    } catch (const std::exception& error) {
      throw WorkError(
          fmt::format("{}:{}", launch.address, launch.port),
          fmt::format("the store of the ranks cannot be {}: {}", serve ? "made" : "reached", first_line(error.what())),
          serve ? "another MASTER_PORT" : "is rank 0 there?");
    }
  }
  c10d::Store* operator->() const { return store_.get(); }
  const c10::intrusive_ptr<c10d::Store>& store() const { return store_; }
  std::string text(const std::string& key) const {
    const std::vector<std::uint8_t> bytes = store_->get(key);
    return {bytes.begin(), bytes.end()};
  }
  void set_text(const std::string& key, const std::string& text) const {
    store_->set(key, std::vector<std::uint8_t>(text.begin(), text.end()));
  }

 private:
  c10::intrusive_ptr<c10d::Store> store_;
};

// Whether the others are alive, as far as is known: asked by exchanges, answered by a thread with a connection of its own.
class Watch {
 public:
  explicit Watch(const Launch& launch) : launch_(launch), store_(launch, false) {}

  // Why this rank cannot go on; empty while it can.
  std::string lost() {
    const std::lock_guard<std::mutex> lock(mutex_);
    // The thread itself may wait for an answer that never comes.
    if (lost_.empty() && Clock::now() - answered_ > kSilence + 2 * kBeat)
      lost_ = "the store of the ranks does not answer";
    return lost_;
  }
  // The same, after waiting for it.
  std::string lost_within(milliseconds time) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, time, [this] { return !lost_.empty(); });
    return lost_;
  }
  void end() {
    const std::lock_guard<std::mutex> lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }
  void run() {
    std::vector<Life> lives(static_cast<std::size_t>(launch_.size));
    for (;;) {
      std::string lost;
      try {
        lost = beat(lives);
      } catch (const std::exception& error) {
        lost = "the store of the ranks is gone, and with it rank 0 or the launcher";
      }
      std::unique_lock<std::mutex> lock(mutex_);
      answered_ = Clock::now();
      lost_ = lost;
      if (!lost.empty()) changed_.notify_all();
      if (!lost.empty() || changed_.wait_for(lock, kBeat, [this] { return ended_; })) return;
    }
  }

 private:
  struct Life {
    std::int64_t beats = -1;
    Clock::time_point since = Clock::now();
  };
  const Launch launch_;
  const Connection store_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string lost_;
  Clock::time_point answered_ = Clock::now();
  bool ended_ = false;

  // Rank 0 looks after all others, and they after it.
  std::string beat(std::vector<Life>& lives) const {
    store_->add(key("beats", launch_.rank), 1);
    if (store_->check({kStopped})) return store_.text(kStopped);
    for (std::int64_t rank = 0; rank < (launch_.rank == 0 ? launch_.size : 1); ++rank) {
      if (rank == launch_.rank) continue;
      Life& life = lives[static_cast<std::size_t>(rank)];
      const std::int64_t beats = store_->add(key("beats", rank), 0);
      if (beats != life.beats) life = {beats, Clock::now()};
      if (Clock::now() - life.since < kSilence) continue;
      const std::string lost = fmt::format("rank {} gives no sign of life", rank);
      store_.set_text(kStopped, lost);
      return lost;
    }
    return "";
  }
};

class GlooGroup : public ProcessGroup {
 public:
  explicit GlooGroup(const Launch& launch)
      : launch_(launch),
        address_(launch.interface.empty() ? own_address(launch) : ""),
        store_(launch, launch.rank == 0 && !launch.launcher_has_store),
        watch_(std::make_shared<Watch>(launch)) {
    arrive();
    std::thread([watch = watch_] { watch->run(); }).detach();
    connect();
  }

  ~GlooGroup() override {
    watch_->end();
    // Its destructor waits for exchanges under way, which without the others is for ever.
    if (!finished_) gloo_.release();
  }

  std::int64_t rank() const override { return launch_.rank; }
  std::int64_t size() const override { return launch_.size; }

  std::unique_ptr<Pending> begin_sum(const Tensor& x) override {
#ifdef USE_C10D_NCCL
    if (x.is_cuda()) return begin(x, x, [&](std::vector<Tensor>& list) { return nccl(x).allreduce(list); });
#endif
    // Without NCCL exchanges go through the memory of the CPU.
    const Tensor own = x.detach().cpu().contiguous();
    if (own.numel() > 0 && (size() == 2 || static_cast<std::int64_t>(own.nbytes()) * size() <= kGathered))
      return std::make_unique<GatheredSum>(x, *this, own);
    return begin(x, own, [&](std::vector<Tensor>& list) { return gloo_->allreduce(list); });
  }

  void broadcast(const Tensor& x) override {
    if (x.numel() == 0) return;
    const Tensor bytes = as_bytes(x.cpu());
    begin(bytes, bytes, [&](std::vector<Tensor>& list) { return gloo_->broadcast(list); })->wait();
    const torch::NoGradGuard no_graph;
    x.copy_(bytes.view(x.scalar_type()).view(x.sizes()));
  }

  Tensor gather(const Tensor& rows) override {
    const Tensor own = rows.detach().cpu().contiguous();
    Shape sizes = own.sizes().vec();
    sizes[0] *= size();
    const Tensor all = torch::empty(sizes, own.options());
    if (all.numel() > 0) begin_gather(own, all)->wait();
    return all.to(rows.device());
  }

  void meet() override { sum(torch::zeros({1})); }

  void finish() override {
    meet();
    watch_->end();
    finished_ = true;
    try {
      // Whoever has the store goes last.
      store_->add(kGone, 1);
      const Clock::time_point start = Clock::now();
      while (launch_.rank == 0 && store_->add(kGone, 0) < size() && Clock::now() - start < kFarewell)
        std::this_thread::sleep_for(milliseconds(5));
    } catch (const std::exception&) {
      // The work is done, and nobody is left to be told so.
    }
  }

  void give_up(const std::string& why) override {
    try {
      if (watch_->lost().empty()) {
        store_.set_text(kStopped, fmt::format("rank {} stopped: {}", rank(), why));
        // The store goes with rank 0, and the others must have time to read it.
        if (launch_.rank == 0 && !launch_.launcher_has_store) std::this_thread::sleep_for(2 * kBeat);
      }
    } catch (const std::exception&) {
      // The others will notice.
    }
  }

 private:
  using WorkPointer = decltype(std::declval<c10d::ProcessGroupGloo>().barrier());

  class UnderWay : public Pending {
   public:
    UnderWay(Watch& watch, const Tensor& to, const Tensor& held, WorkPointer work)
        : watch_(watch), to_(to), held_(held), work_(std::move(work)) {}
    void wait() override {
      finish(watch_, *work_);
      const torch::NoGradGuard no_graph;
      if (!held_.is_same(to_)) to_.copy_(held_);
    }

   private:
    Watch& watch_;
    Tensor to_, held_;
    WorkPointer work_;
  };

  class GatheredSum : public Pending {
   public:
    GatheredSum(const Tensor& to, GlooGroup& group, const Tensor& own)
        : to_(to),
          parts_(torch::empty({group.size(), own.numel()}, own.options())),
          gather_(group.begin_gather(own, parts_)) {}
    void wait() override {
      gather_->wait();
      const torch::NoGradGuard no_graph;
      to_.copy_(parts_.sum(0).view(to_.sizes()));
    }

   private:
    Tensor to_, parts_;
    std::unique_ptr<Pending> gather_;
  };

  const Launch launch_;
  const std::string address_;  // of this rank; unknown where the interface is given
  const Connection store_;
  const std::shared_ptr<Watch> watch_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo_;
  bool finished_ = false;

  static Tensor as_bytes(const Tensor& dense) { return dense.detach().contiguous().view({-1}).view(torch::kByte); }

  template <class Start>
  std::unique_ptr<Pending> begin(const Tensor& to, const Tensor& held, const Start& start) {
    if (const std::string lost = watch_->lost(); !lost.empty()) throw RankLost("ranks", lost);
    std::vector<Tensor> list = {held};
    try {
      return std::make_unique<UnderWay>(*watch_, to, held, start(list));
    } catch (const std::exception& error) {
      throw lost_by(*watch_, error.what());
    }
  }

  // The dense `own` of every rank, one after another, into the dense `all`, both on the CPU.
  std::unique_ptr<Pending> begin_gather(const Tensor& own, const Tensor& all) {
    std::vector<std::vector<Tensor>> parts(1);
    for (const Tensor& part : as_bytes(all).chunk(size())) parts[0].push_back(part);
    const Tensor bytes = as_bytes(own);
    return begin(bytes, bytes, [&](std::vector<Tensor>& list) { return gloo_->allgather(parts, list); });
  }

  template <class Work>
  static void finish(Watch& watch, Work& work) {
    for (const Clock::time_point start = Clock::now(); !work.isCompleted() && Clock::now() - start < kAwake;)
      std::this_thread::yield();
    for (;;) {
      try {
        work.wait(kSlice);
        return;
      } catch (const std::exception& error) {
        // Either the slice is over or the exchange has failed.
        if (work.isCompleted() && work.isSuccess()) return;
        if (work.isCompleted()) throw lost_by(watch, error.what());
        if (const std::string lost = watch.lost(); !lost.empty()) throw RankLost("ranks", lost);
      }
    }
  }

  static RankLost lost_by(Watch& watch, const char* what) {
    // Connections close before the reason is known.
    const std::string reason = watch.lost_within(kReason);
    return {"ranks", reason.empty() ? fmt::format("another rank is gone: {}", first_line(what)) : reason};
  }

  void arrive() {
    store_.set_text(key("address", rank()), address_);
    std::vector<std::string> keys;
    for (std::int64_t other = 0; other < size(); ++other) keys.push_back(key("address", other));
    try {
      store_->wait(keys, kArrival);
    } catch (const std::exception&) {
      std::string missing;
      for (std::int64_t other = 0; other < size(); ++other)
        if (!store_->check({key("address", other)})) missing += fmt::format("{}{}", missing.empty() ? "" : ", ", other);
      throw WorkError("ranks", fmt::format("{} of {} did not come within {} s", missing, size(), kArrival.count()));
    }
    const std::string first = store_.text(key("address", 0));
    for (std::int64_t other = 1; other < size(); ++other) {
      const std::string there = store_.text(key("address", other));
      if (!first.empty() && !there.empty() && is_loopback(first) != is_loopback(there))
        throw RequestError(
            "MASTER_ADDR",
            fmt::format("rank 0 is at {} and rank {} at {}, between which nothing leads", first, other, there),
            "an address that all machines reach, or GLOO_SOCKET_IFNAME");
    }
  }

  // Making the group connects every rank with every other and may wait for one that is gone.
  void connect() {
    struct Made {
      std::mutex mutex;
      std::condition_variable done;
      c10::intrusive_ptr<c10d::ProcessGroupGloo> group;
      std::string error;
    };
    const auto made = std::make_shared<Made>();
    std::thread([made, launch = launch_, address = address_, store = store_.store()] {
      c10::intrusive_ptr<c10d::ProcessGroupGloo> group;
      std::string error;
      try {
        start_patient_threads();
        const auto options = c10d::ProcessGroupGloo::Options::create();
        options->timeout = kPatience;
        options->devices.push_back(launch.interface.empty()
                                       ? c10d::ProcessGroupGloo::createDeviceForHostname(address)
                                       : c10d::ProcessGroupGloo::createDeviceForInterface(launch.interface));
        group = c10::make_intrusive<c10d::ProcessGroupGloo>(store, static_cast<int>(launch.rank),
                                                            static_cast<int>(launch.size), options);
      } catch (const std::exception& failure) {
        error = first_line(failure.what());
      }
      const std::lock_guard<std::mutex> lock(made->mutex);
      made->group = group;
      made->error = error;
      made->done.notify_all();
    }).detach();
    std::unique_lock<std::mutex> lock(made->mutex);
    const Clock::time_point start = Clock::now();
    while (!made->done.wait_for(lock, kSlice, [&] { return made->group || !made->error.empty(); })) {
      if (const std::string lost = watch_->lost(); !lost.empty()) throw RankLost("ranks", lost);
      if (Clock::now() - start > kArrival)
        throw WorkError("ranks", fmt::format("not all could be connected within {} s", kArrival.count()),
                        "does a firewall stand between them?");
    }
    if (!made->group) throw WorkError("ranks", fmt::format("could not be connected: {}", made->error));
    gloo_ = std::move(made->group);
  }

#ifdef USE_C10D_NCCL
  c10::intrusive_ptr<c10d::ProcessGroupNCCL> nccl_;
  // Made at its first use, when the device is known.
  c10d::ProcessGroupNCCL& nccl(const Tensor&) {
    if (!nccl_)
      nccl_ = c10::make_intrusive<c10d::ProcessGroupNCCL>(
          c10::make_intrusive<c10d::PrefixStore>("nccl", store_.store()), static_cast<int>(rank()),
          static_cast<int>(size()), c10d::ProcessGroupNCCL::Options::create());
    return *nccl_;
  }
#endif
};

}  // namespace

std::unique_ptr<ProcessGroup> make_process_group(const Launch& launch) { return std::make_unique<GlooGroup>(launch); }

#else

std::unique_ptr<ProcessGroup> make_process_group(const Launch& launch) {
  throw RequestError("WORLD_SIZE", fmt::format("is {}, and this build knows no Gloo, so it works alone", launch.size),
                     "build gibbsite with libgloo-dev installed");
}

#endif

}  // namespace gibbsite
