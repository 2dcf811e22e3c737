/* The C++ layer: ownership, errors, ranges, and functions that are called exactly once. */
#include <algorithm>
#include <atomic>
#include <iostream>
#include <stdexcept>
#include <thread>

#include "waldo.hpp"
#include "waldo.hpp"

namespace {

using libwaldo::cursor;
using namespace std::chrono_literals;

#define CHECK(condition)                                                                        \
    do {                                                                                        \
        if (!(condition)) {                                                                     \
            std::cerr << __FILE__ << ":" << __LINE__ << ": not so: " << #condition << "\n";     \
            std::_Exit(1);                                                                      \
        }                                                                                       \
    } while (0)

template <class Condition>
void await(Condition condition)
{
    for (int round = 0; !condition(); round++) {
        CHECK(round < 20000);
        std::this_thread::sleep_for(1ms);
    }
}

/* Counts its own copies: a function that holds one is there as long as it is. */
class token {
public:
    token() { alive++; }
    token(token &&other) noexcept : is_there_(std::exchange(other.is_there_, false)) {}
    token(const token &) = delete;
    token &operator=(token &&) = delete;
    ~token() { alive -= is_there_; }

    static std::atomic<int> alive;

private:
    bool is_there_ = true;
};
std::atomic<int> token::alive{0};

libwaldo::options small()
{
    return libwaldo::options::make({{"backend", "memory"},
                                    {"memory.keep", "false"},
                                    {"ring_size", "3"},
                                    {"buf_capacity", "65536"},
                                    {"index_capacity", "256"},
                                    {"file_capacity", "524288"},
                                    {"tail_capacity", "131072"},
                                    {"read_capacity", "1048576"}})
        .value();
}

libwaldo::store open_small(const char *name)
{
    return libwaldo::store::open(name, small()).value();
}

void options()
{
    auto options = small();
    CHECK(options.get("backend").value() == "memory");
    options.set("ring_size", 5).value();
    CHECK(*options.get("ring_size") == "5");
    options.set("file_o_dsync", false).value();
    CHECK(*options.get("file_o_dsync") == "false");
    options.set("flush_interval_ns", 3ms).value();
    CHECK(*options.get("flush_interval_ns") == "3000000");
    options.set("backend", std::string("auto")).value();
    CHECK(options.set("ring_size", -1).status() == WALDO_OPTION);
    CHECK(options.get("colour").status() == WALDO_OPTION);
    CHECK(libwaldo::options::make({{"colour", "blue"}}).status() == WALDO_OPTION);
    bool thrown = false;
    try {
        options.set("colour", "blue").value();
    } catch (const libwaldo::error &error) {
        thrown = true;
        CHECK(error.status() == WALDO_OPTION);
        CHECK(std::string(error.name()) == "WALDO_OPTION");
        CHECK(std::string(error.what()).find("colour") != std::string::npos);
        CHECK(!error.is_retryable() && !error.is_fatal() && !error.maybe_appended());
    }
    CHECK(thrown);
}

void appends_and_ranges()
{
    const auto store = open_small("ranges");
    CHECK(store.append("one").value() == 1);
    CHECK(store.append(std::string("two")).value() == 2);
    const std::vector<unsigned char> three{'t', 'h', 'r', 'e', 'e'};
    CHECK(store.append(three).value() == 3);
    CHECK(store.append({libwaldo::log(4, 3, "four"), libwaldo::log(5, 4, "five")}).value() == 5);
    const std::uint64_t ends[] = {3, 8};
    CHECK(store.append_packed("sixseven", ends, 2).value() == 7);
    std::vector<libwaldo::log> many;
    for (int i = 8; i <= 100; i++)
        many.emplace_back("more");
    CHECK(store.append(many, WALDO_APPEND_ASSIGN | WALDO_APPEND_ATOMIC).value() == 100);
    const auto refused = store.append(libwaldo::log(7, 3, "late"));
    CHECK(refused.status() == WALDO_SEQUENCE);
    CHECK(refused.error().wanted() == 100 && refused.error().actual() == 3);

    auto stream = libwaldo::stream::make(store, cursor::trim()).value();
    std::uint64_t seen = 0;
    std::string text;
    while (seen < 100) {
        const auto chunk = stream.next(10s).value();
        CHECK(!chunk.empty() && chunk[0].seq_no() == seen + 1);
        CHECK(static_cast<std::size_t>(std::distance(chunk.begin(), chunk.end())) == chunk.size());
        for (const libwaldo::log &log : chunk) {
            CHECK(log.seq_no() == ++seen && log.prev_seq_no() == seen - 1);
            text += log.text();
        }
        CHECK(stream.position() == seen);
    }
    CHECK(text.compare(0, 30, "onetwothreefourfivesixsevenmor") == 0);
    CHECK(stream.next(1ms).status() == WALDO_TIMEOUT);
    stream.seek(98).value();
    CHECK(stream.next()->size() == 2);
    const auto found = store.query(cursor::from(8)).value();
    CHECK(std::all_of(found.begin(), found.end(),
                      [](const libwaldo::log &log) { return log.text() == "more"; }));
    CHECK(store.query(cursor::tip())->empty());
    CHECK(store.query(cursor::tip(), WALDO_QUERY_WAIT, 1ms).status() == WALDO_TIMEOUT);

    store.sync().value();
    store.truncate(90).value();
    store.trim(10).value();
    CHECK(store.prev_seq_no().value() == 90 && store.durable_seq_no().value() == 90);
    CHECK(store.metadata()->log_count == 80 && store.recovery()->created == 1);
    store.clear().value();
    CHECK(store.metadata()->log_count == 0);
    store.close().value();
    CHECK(store.append("closed").status() == WALDO_CLOSED);
    CHECK(store.append("closed").error().is_fatal());
}

void handles()
{
    auto chunk = [] {
        auto store = open_small("handles");
        auto other = store.share();
        store.append("kept").value();
        auto moved = std::move(store);
        CHECK(store.append("nobody").status() == WALDO_INVALID_ARGUMENT);
        CHECK(store.close().status() == WALDO_INVALID_ARGUMENT);
        auto found = moved.query(cursor::trim()).value();
        auto shared = found.share();
        moved = libwaldo::store(nullptr);
        other.close().value();
        return shared;
    }();
    /* Behind the close and the release of everything else. */
    CHECK(chunk.size() == 1 && chunk[0].text() == "kept");
    const auto moved = std::move(chunk);
    CHECK(chunk.empty() && chunk.begin() == chunk.end() && moved[0].data().size() == 4);
}

void callbacks()
{
    const auto store = open_small("callbacks");
    std::atomic<int> called{0};
    {
        auto queue = libwaldo::callback_queue::make(64).value();
        for (int i = 0; i < 50; i++)
            store
                .append_async("callback", WALDO_APPEND_DURABLE, queue,
                              [&called, own = token(), held = std::make_unique<int>(i)](
                                  libwaldo::result<libwaldo::appended> outcome) {
                                  CHECK(outcome.value().last_seq_no ==
                                        static_cast<std::uint64_t>(*held) + 1);
                                  CHECK(outcome->count == 1);
                                  called++;
                              })
                .value();
        await([&] { return called == 50; });
        await([] { return token::alive == 0; });
        store.sync_async(queue, [&](libwaldo::result<void> done) { done.value(), called++; }).value();
        store.trim_async(3, queue, [&](libwaldo::result<void> done) { done.value(), called++; })
            .value();
        store.truncate_async(40, queue, [&](libwaldo::result<void> done) { done.value(), called++; })
            .value();
        store
            .truncate_async(77, queue,
                            [&](libwaldo::result<void> done) {
                                CHECK(done.status() == WALDO_NOT_FOUND);
                                CHECK(done.error().wanted() == 77);
                                CHECK(std::string(done.error().what()) == "WALDO_NOT_FOUND");
                                called++;
                            })
            .value();
        await([&] { return called == 54; });
        store
            .query_async(cursor::trim(), 0, queue,
                         [&](libwaldo::result<libwaldo::chunk> found) {
                             CHECK(found.value()[0].seq_no() == 4);
                             called++;
                         })
            .value();
        await([&] { return called == 55; });
        /* Refused: not called, and destroyed. */
        const auto refused = store.append_async(libwaldo::log(3, 7, "order"), 0, queue,
                                                [own = token()](const auto &) { CHECK(false); });
        CHECK(refused.status() == WALDO_ORDER);
        CHECK(token::alive == 0);
        /* Still waiting when the queue goes: called all the same. */
        store
            .query_async(cursor::tip(), WALDO_QUERY_WAIT, queue,
                         [&called, own = token()](libwaldo::result<libwaldo::chunk> found) {
                             CHECK(found.status() == WALDO_CANCELLED);
                             called++;
                         })
            .value();
    }
    await([&] { return called == 56 && token::alive == 0; });
    auto queue = libwaldo::callback_queue::make(4).value();
    store.clear_async(queue, [&](libwaldo::result<void> done) { done.value(), called++; }).value();
    await([&] { return called == 57; });
    store.close_async(queue, [&](libwaldo::result<void> done) { done.value(), called++; }).value();
    await([&] { return called == 58; });
    /* What was opened is the function's, and goes with it. */
    libwaldo::store::open_async("callbacks 2", small(), queue,
                                [&](libwaldo::result<libwaldo::store> opened) {
                                    opened.value().append_async(
                                        "in a callback", 0, queue, [&](const auto &done) {
                                            CHECK(done.value().last_seq_no == 1);
                                            called++;
                                        })
                                        .value();
                                    /* What waits is refused in here. */
                                    CHECK(opened->sync().status() == WALDO_WOULD_DEADLOCK);
                                })
        .value();
    await([&] { return called == 59; });
}

void polling()
{
    const auto store = open_small("polling");
    int called = 0;
    const auto count = [&](const auto &outcome) {
        CHECK(outcome);
        called++;
    };
    {
        auto queue = libwaldo::poll_queue::make(3).value();
        CHECK(queue.fd() >= 0 && queue.poll() == 0);
        CHECK(queue.run(1ms).status() == WALDO_TIMEOUT);
        for (int i = 0; i < 3; i++)
            store.append_async("polled", 0, queue, count).value();
        const auto full = store.sync_async(queue, [own = token()](const auto &) { CHECK(false); });
        CHECK(full.status() == WALDO_AGAIN && full.error().is_retryable());
        CHECK(token::alive == 0);
        while (called < 3)
            queue.run(10s).value();
        /* Cancelled by what was submitted, and by nothing that came in its place. */
        auto stream = libwaldo::stream::make(store, cursor::tip()).value();
        int cancelled = 0;
        const auto note = [&](libwaldo::result<libwaldo::chunk> outcome) {
            cancelled += outcome.status() == WALDO_CANCELLED;
        };
        const auto first = stream.next_async(queue, note).value();
        queue.cancel(first).value();
        CHECK(queue.run(10s).value() == 1 && cancelled == 1);
        const auto second = stream.next_async(queue, note).value();
        CHECK(queue.cancel(first).status() == WALDO_NOT_FOUND);
        queue.cancel(second).value();
        CHECK(queue.run(10s).value() == 1 && cancelled == 2);
        /* Nobody takes these out. */
        store.sync_async(queue, [own = token()](const auto &) { CHECK(false); }).value();
        stream.next_async(queue, [own = token()](const auto &) { CHECK(false); }).value();
        CHECK(token::alive == 2);
        auto moved = std::move(queue);
        CHECK(token::alive == 2);
    }
    CHECK(token::alive == 0 && called == 3);
}

/* Four threads submit while the store closes: each function is called once, or was refused. */
void storm()
{
    constexpr int threads = 4, each = 500;
    const auto store = open_small("storm");
    auto queue = libwaldo::callback_queue::make(threads * each + 1).value();
    std::atomic<int> accepted{0}, called{0};
    std::vector<std::thread> all;
    for (int t = 0; t < threads; t++)
        all.emplace_back([&, t] {
            for (int i = 0; i < each; i++) {
                const auto submitted = store.append_async(
                    "storm", 0, queue,
                    [&called, own = token()](const libwaldo::result<libwaldo::appended> &) {
                        called++;
                    });
                CHECK(submitted || submitted.status() == WALDO_CLOSED ||
                      submitted.status() == WALDO_AGAIN);
                accepted += static_cast<bool>(submitted);
                if (t == 0 && i == each / 2)
                    store.close_async(queue, [&](const auto &done) { done.value(); }).value();
            }
        });
    for (auto &thread : all)
        thread.join();
    await([&] { return called == accepted && token::alive == 0; });
}

#if defined(__cpp_impl_coroutine)

static_assert(std::input_iterator<libwaldo::chunk::iterator>);

/* A coroutine that nobody waits for, and that ends by itself. */
struct task {
    struct promise_type {
        task get_return_object() { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
    };
};

task append_and_read(const libwaldo::store &store, libwaldo::queue &queue, std::atomic<int> &ended)
{
    for (std::uint64_t i = 1; i <= 20; i++) {
        const auto done =
            co_await libwaldo::completed<libwaldo::appended>([&](auto then) {
                return store.append_async("awaited", 0, queue, std::move(then));
            });
        CHECK(done->last_seq_no == i);
        const auto found = co_await libwaldo::completed<libwaldo::chunk>([&](auto then) {
            return store.query_async(cursor::from(i), 0, queue, std::move(then));
        });
        CHECK(found.value()[0].text() == "awaited");
    }
    const auto refused = co_await libwaldo::completed<libwaldo::appended>([&](auto then) {
        return store.append_async(libwaldo::log(1, 2, "order"), 0, queue, std::move(then));
    });
    CHECK(refused.status() == WALDO_ORDER);
    ended++;
}

void coroutines()
{
    const auto store = open_small("coroutines");
    auto queue = libwaldo::callback_queue::make(4).value();
    std::atomic<int> ended{0};
    append_and_read(store, queue, ended);
    await([&] { return ended == 1; });
    const auto other = open_small("coroutines 2");
    auto polled = libwaldo::poll_queue::make(4).value();
    append_and_read(other, polled, ended);
    while (ended < 2)
        polled.run(10s).value();
}

#else

void coroutines() {}

#endif

} // namespace

int main()
{
    options();
    appends_and_ranges();
    handles();
    callbacks();
    polling();
    storm();
    coroutines();
    return 0;
}
