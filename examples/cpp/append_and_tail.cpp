/*
 * Appends the lines of the standard input durably, without waiting for each, while another thread
 * tails the log from its start to the end of this run, and counts what it sees.
 *
 *     c++ -std=c++17 append_and_tail.cpp $(pkg-config --cflags --libs waldo) -lpthread
 *     ./a.out /tmp/lines < file
 */
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <iostream>
#include <mutex>
#include <string>
#include <thread>

#include <waldo.hpp>

namespace {

/* What the callbacks tell the main thread. */
class progress {
public:
    /* Waits until fewer than `limit` appends are under way, and counts one more. */
    void start(std::uint64_t limit)
    {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [&] { return under_way_ < limit; });
        under_way_++;
    }
    /* The append that was counted was refused; waits for another one to end, if there is one. */
    void take_back()
    {
        std::unique_lock<std::mutex> lock(mutex_);
        const auto before = --under_way_;
        if (before > 0)
            changed_.wait(lock, [&] { return under_way_ < before; });
    }
    void finish(const libwaldo::result<libwaldo::appended> &outcome)
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        under_way_--;
        if (outcome)
            newest_ = outcome->last_seq_no;
        else if (failure_.empty())
            failure_ = outcome.error().name();
        changed_.notify_all();
    }
    /* Waits for all; answers the newest log, and throws where an append failed. */
    std::uint64_t wait()
    {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [&] { return under_way_ == 0; });
        if (!failure_.empty())
            throw std::runtime_error("an append failed: " + failure_);
        return newest_;
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::uint64_t under_way_ = 0, newest_ = 0;
    std::string failure_;
};

/* Reads chunk by chunk, until the store is closed and there is no more. */
void tail(libwaldo::stream stream, std::uint64_t &logs, std::uint64_t &bytes)
{
    for (;;) {
        const auto chunk = stream.next();
        if (!chunk) {
            if (chunk.status() != WALDO_CLOSED)
                std::cerr << "tail: " << chunk.error().what() << "\n";
            return;
        }
        for (const libwaldo::log &log : *chunk) {
            logs++;
            bytes += log.data().size();
        }
    }
}

void run(const std::string &home)
{
    constexpr std::uint32_t depth = 512;
    const auto store = libwaldo::store::open(home).value();
    progress progress;
    /* Behind the progress that its functions use. */
    auto queue = libwaldo::callback_queue::make(depth).value();
    std::uint64_t logs = 0, bytes = 0, lines = 0;
    auto stream = libwaldo::stream::make(store, libwaldo::cursor::trim()).value();
    std::thread tailing(tail, std::move(stream), std::ref(logs), std::ref(bytes));

    const auto started = std::chrono::steady_clock::now();
    for (std::string line; std::getline(std::cin, line); lines++) {
        for (;;) {
            progress.start(depth);
            const auto submitted = store.append_async(
                line, WALDO_APPEND_DURABLE, queue,
                [&](libwaldo::result<libwaldo::appended> outcome) { progress.finish(outcome); });
            if (submitted)
                break;
            progress.take_back();
            if (!submitted.error().is_retryable())
                submitted.value();
        }
    }
    const std::uint64_t newest = progress.wait();
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - started;

    store.close().value();
    tailing.join();
    std::cout << lines << " lines are durable, the newest is log " << newest << "\n"
              << "the tail saw " << logs << " logs, " << bytes << " bytes\n";
    std::cerr << static_cast<std::uint64_t>(static_cast<double>(lines) / time.count())
              << " lines a second\n";
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 2) {
        std::cerr << "usage: " << argv[0] << " directory < lines\n";
        return 2;
    }
    try {
        run(argv[1]);
        return 0;
    } catch (const std::exception &error) {
        std::cerr << error.what() << "\n";
        return 1;
    }
}
