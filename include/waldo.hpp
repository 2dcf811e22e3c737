/**
 * Waldo for C++17 and later: a thin layer over waldo.h, in this header alone.
 *
 * Names are in the namespace libwaldo, since waldo is a type of the C interface. What a function
 * does is said there, at the function of the same name.
 *
 * Ownership. Handles (options, store, stream, chunk, and the queues) are moved, not copied, and
 * release what they hold at their end, in any order; share() gives another handle to the same
 * store or chunk. None of that blocks. Views (bytes, log) own nothing: those of a chunk are valid as
 * long as one of its handles is. A handle that was moved from is empty: a call on it answers
 * WALDO_INVALID_ARGUMENT.
 *
 * Errors. What can fail answers a result: test it, or take its value(), which throws the error
 * where there is no value. Nothing else throws, except std::bad_alloc.
 *
 * Callbacks. An asynchronous call takes a function of one result, and any function object will do,
 * also one that can be moved only. Where the call succeeds, the function is called once, unless
 * its queue ends before; where the call fails, it is not called. It is destroyed in any case. It
 * must not throw. Functions of a callback_queue are called on the thread of that queue, and must not
 * block; those of a poll_queue inside its run() and poll().
 *
 * Threads. As in waldo.h: everything from any thread, but one user at a time for an options, one
 * outstanding next for a stream, one thread at a time in run() and poll() of a poll_queue. A
 * handle itself is an ordinary object: moving or destroying it while another thread uses it is a
 * race.
 */
#ifndef WALDO_HPP
#define WALDO_HPP

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#if defined(__has_include)
#if __has_include(<version>)
#include <version>
#endif
#endif
#if defined(__cpp_lib_span)
#include <span>
#endif
#if defined(__cpp_impl_coroutine)
#include <coroutine>
#endif

#include "waldo.h"

namespace libwaldo {

/** Waits without end. */
inline constexpr std::chrono::nanoseconds forever{-1};

/** Why a call failed. */
class error : public std::exception {
public:
    explicit error(const waldo_error &raw) noexcept : raw_(raw) {}

    /** The error of an operation, whose completion has no message. */
    explicit error(const waldo_completion &done) noexcept : raw_()
    {
        raw_.status = done.status;
        raw_.os_errno = done.os_errno;
        raw_.wanted = done.wanted;
        raw_.actual = done.actual;
        std::snprintf(raw_.message, sizeof raw_.message, "%s", waldo_status_name(done.status));
    }

    waldo_status status() const noexcept { return raw_.status; }
    const char *name() const noexcept { return waldo_status_name(raw_.status); }
    const char *what() const noexcept override { return raw_.message; }
    int os_errno() const noexcept { return raw_.os_errno; }
    std::uint64_t wanted() const noexcept { return raw_.wanted; }
    std::uint64_t actual() const noexcept { return raw_.actual; }
    /** The same call may succeed later. */
    bool is_retryable() const noexcept { return has(WALDO_TRAIT_RETRY); }
    /** The handle will not work again. */
    bool is_fatal() const noexcept { return has(WALDO_TRAIT_FATAL); }
    /** Logs of the append may have been appended. */
    bool maybe_appended() const noexcept { return has(WALDO_TRAIT_MAYBE_APPENDED); }

private:
    bool has(std::uint32_t trait) const noexcept
    {
        return (waldo_status_traits(raw_.status) & trait) != 0;
    }

    waldo_error raw_;
};

/** What a call answers: a value, or the error. */
template <class T>
class [[nodiscard]] result {
public:
    result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    result(const libwaldo::error &why) : state_(std::in_place_index<1>, why) {}

    explicit operator bool() const noexcept { return state_.index() == 0; }

    /** The value; throws the error where there is none. */
    T &value() & { return check(), *std::get_if<0>(&state_); }
    const T &value() const & { return check(), *std::get_if<0>(&state_); }
    T value() && { return check(), std::move(*std::get_if<0>(&state_)); }

    /** The value, which there must be. */
    T &operator*() & noexcept { return *std::get_if<0>(&state_); }
    const T &operator*() const & noexcept { return *std::get_if<0>(&state_); }
    T operator*() && { return std::move(*std::get_if<0>(&state_)); }
    T *operator->() noexcept { return std::get_if<0>(&state_); }
    const T *operator->() const noexcept { return std::get_if<0>(&state_); }

    /** The error, which there must be. */
    const libwaldo::error &error() const noexcept { return *std::get_if<1>(&state_); }
    waldo_status status() const noexcept { return *this ? waldo_status{WALDO_OK} : error().status(); }

private:
    void check() const
    {
        if (*this)
            return;
#if defined(__cpp_exceptions)
        throw error();
#else
        std::abort();
#endif
    }

    std::variant<T, libwaldo::error> state_;
};

/** What a call answers that has no value. */
template <>
class [[nodiscard]] result<void> : private result<std::monostate> {
    using base = result<std::monostate>;

public:
    result() : base(std::monostate{}) {}
    result(const libwaldo::error &why) : base(why) {}

    using base::error;
    using base::operator bool;
    using base::status;
    /** Throws the error where there is one. */
    void value() const { (void)base::value(); }
};

/** Bytes that somebody else owns. */
class bytes {
public:
    constexpr bytes() noexcept = default;
    bytes(const void *data, std::size_t size) noexcept
        : data_(static_cast<const std::uint8_t *>(data)), size_(size)
    {
    }
    /** Of a string, or anything with data() and size() whose elements are bytes. */
    template <class C, class = std::enable_if_t<
                           !std::is_same_v<std::decay_t<C>, bytes> &&
                           sizeof(*std::declval<const C &>().data()) == 1 &&
                           std::is_integral_v<decltype(std::declval<const C &>().size())>>>
    bytes(const C &source) noexcept : bytes(source.data(), source.size())
    {
    }
    bytes(const char *text) noexcept : bytes(std::string_view(text)) {}

    const std::uint8_t *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    const std::uint8_t *begin() const noexcept { return data_; }
    const std::uint8_t *end() const noexcept { return data_ + size_; }
    const std::uint8_t &operator[](std::size_t at) const noexcept { return data_[at]; }
    std::string_view text() const noexcept
    {
        return size_ == 0 ? std::string_view()
                          : std::string_view(reinterpret_cast<const char *>(data_), size_);
    }
#if defined(__cpp_lib_span)
    operator std::span<const std::uint8_t>() const noexcept { return {data_, size_}; }
#endif

private:
    const std::uint8_t *data_ = nullptr;
    std::size_t size_ = 0;
};

/** One log: a view of its payload, with its number and the one before it. */
class log {
public:
    log() noexcept : log(bytes()) {}
    /** A payload that the store is to number (WALDO_APPEND_ASSIGN). */
    explicit log(bytes data) noexcept : log(0, 0, data) {}
    log(std::uint64_t seq_no, std::uint64_t prev_seq_no, bytes data) noexcept
        : raw_{seq_no, prev_seq_no, data.data(), data.size()}
    {
    }

    std::uint64_t seq_no() const noexcept { return raw_.seq_no; }
    std::uint64_t prev_seq_no() const noexcept { return raw_.prev_seq_no; }
    bytes data() const noexcept { return {raw_.data, static_cast<std::size_t>(raw_.len)}; }
    std::string_view text() const noexcept { return data().text(); }

private:
    friend class chunk;
    friend class store;

    waldo_log raw_;
};

static_assert(sizeof(log) == sizeof(waldo_log) && std::is_standard_layout_v<log>);

/** Logs in a row in memory: of a container, an array or a list in braces. */
class logs {
public:
    logs(const log *first, std::size_t count) noexcept : first_(first), count_(count) {}
    logs(const log &one) noexcept : logs(&one, 1) {}
    logs(std::initializer_list<log> list) noexcept : logs(list.begin(), list.size()) {}
    template <class C, class = std::enable_if_t<
                           std::is_convertible_v<decltype(std::declval<const C &>().data()),
                                                 const log *>>>
    logs(const C &container) noexcept : logs(container.data(), container.size())
    {
    }

    const log *data() const noexcept { return first_; }
    std::size_t size() const noexcept { return count_; }

private:
    const log *first_;
    std::size_t count_;
};

/** Where reading starts. */
struct cursor {
    std::uint32_t kind;
    std::uint64_t seq_no;

    static constexpr cursor trim() noexcept { return {WALDO_CURSOR_TRIM, 0}; }
    static constexpr cursor tip() noexcept { return {WALDO_CURSOR_TIP, 0}; }
    static constexpr cursor after(std::uint64_t n) noexcept { return {WALDO_CURSOR_AFTER, n}; }
    static constexpr cursor from(std::uint64_t n) noexcept { return {WALDO_CURSOR_FROM, n}; }
};

/** What an asynchronous append appended. */
struct appended {
    std::uint64_t first_seq_no, last_seq_no, count;
};

namespace detail {

template <auto Release>
struct releaser {
    template <class T>
    void operator()(T *handle) const noexcept
    {
        Release(handle);
    }
};

template <class T, auto Release>
using handle = std::unique_ptr<T, releaser<Release>>;

/** Makes a result of a call that takes an error. */
template <class Call>
result<void> attempt(Call &&call)
{
    waldo_error why;
    if (call(&why) == WALDO_OK)
        return {};
    return error(why);
}

/** The same of a call that answers a status only. */
inline result<void> answer(waldo_status status)
{
    if (status == WALDO_OK)
        return {};
    waldo_completion done{};
    done.status = status;
    return error(done);
}

template <class T, class Value>
result<T> with(const result<void> &outcome, Value &&value)
{
    if (outcome)
        return T(std::forward<Value>(value));
    return outcome.error();
}

} // namespace detail

/** What a store is opened with. */
class options {
public:
    /** The defaults, with the given ones set. */
    static result<options>
    make(std::initializer_list<std::pair<const char *, const char *>> settings = {})
    {
        waldo_options *raw = nullptr;
        const auto made = detail::answer(waldo_options_new(&raw));
        if (!made)
            return made.error();
        options self(raw);
        for (const auto &[key, value] : settings)
            if (const auto set = self.set(key, value); !set)
                return set.error();
        return self;
    }

    result<void> set(const char *key, const char *value)
    {
        return detail::attempt(
            [&](waldo_error *why) { return waldo_options_set(raw(), key, value, why); });
    }
    result<void> set(const char *key, const std::string &value) { return set(key, value.c_str()); }
    result<void> set(const char *key, bool value) { return set(key, value ? "true" : "false"); }
    template <class N, class = std::enable_if_t<std::is_integral_v<N>>>
    result<void> set(const char *key, N value)
    {
        return set(key, std::to_string(value));
    }
    result<void> set(const char *key, std::chrono::nanoseconds value)
    {
        return set(key, value.count());
    }

    result<std::string> get(const char *key) const
    {
        std::array<char, 64> text{};
        const auto found = detail::attempt([&](waldo_error *why) {
            return waldo_options_get(raw(), key, text.data(), text.size(), why);
        });
        return detail::with<std::string>(found, text.data());
    }

    waldo_options *raw() const noexcept { return handle_.get(); }

private:
    explicit options(waldo_options *raw) noexcept : handle_(raw) {}

    detail::handle<waldo_options, waldo_options_free> handle_;
};

/** An immutable run of logs, and a range of them: for (const libwaldo::log &log : chunk). */
class chunk {
public:
    class iterator;

    /** Takes over a reference. */
    explicit chunk(waldo_chunk *raw) noexcept : handle_(raw) {}

    std::size_t size() const noexcept { return waldo_chunk_count(raw()); }
    bool empty() const noexcept
    {
        waldo_log one;
        return waldo_chunk_logs(raw(), 0, &one, 1) == 0;
    }
    /** One of size() logs. */
    log operator[](std::size_t at) const noexcept
    {
        log found;
        waldo_chunk_logs(raw(), at, &found.raw_, 1);
        return found;
    }
    iterator begin() const noexcept;
    iterator end() const noexcept;

    chunk share() const noexcept
    {
        waldo_chunk_retain(raw());
        return chunk(raw());
    }
    waldo_chunk *raw() const noexcept { return handle_.get(); }

private:
    detail::handle<waldo_chunk, waldo_chunk_release> handle_;
};

/** Goes over the logs of a chunk, which it asks for several at a time. */
class chunk::iterator {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = log;
    using difference_type = std::ptrdiff_t;
    using pointer = const log *;
    using reference = const log &;

    /** The end of any chunk. */
    iterator() noexcept = default;

    reference operator*() const noexcept { return logs_[at_]; }
    pointer operator->() const noexcept { return &logs_[at_]; }
    iterator &operator++() noexcept
    {
        if (++at_ == count_)
            load(first_ + count_);
        return *this;
    }
    void operator++(int) noexcept { ++*this; }
    friend bool operator==(const iterator &a, const iterator &b) noexcept
    {
        return a.count_ == 0 || b.count_ == 0 ? a.count_ == b.count_
                                              : a.first_ + a.at_ == b.first_ + b.at_;
    }
    friend bool operator!=(const iterator &a, const iterator &b) noexcept { return !(a == b); }

private:
    friend class chunk;

    explicit iterator(const waldo_chunk *source) noexcept : source_(source) { load(0); }

    void load(std::size_t first) noexcept
    {
        std::array<waldo_log, 16> found;
        count_ = waldo_chunk_logs(source_, first, found.data(), found.size());
        for (std::size_t i = 0; i < count_; i++)
            logs_[i].raw_ = found[i];
        first_ = first;
        at_ = 0;
    }

    const waldo_chunk *source_ = nullptr;
    std::size_t first_ = 0, at_ = 0, count_ = 0;
    std::array<log, 16> logs_;
};

inline chunk::iterator chunk::begin() const noexcept { return iterator(raw()); }
inline chunk::iterator chunk::end() const noexcept { return iterator(); }

class store;
class queue;

namespace detail {

/** An operation that was submitted, and the function that takes its result. */
class pending {
public:
    pending() = default;
    pending(const pending &) = delete;
    pending &operator=(const pending &) = delete;
    virtual ~pending() = default;

    /** Calls the function, and destroys it. */
    virtual void complete(waldo_completion &done) noexcept = 0;
    /** Destroys the function. */
    virtual void forget() noexcept = 0;

    /** Holds it while it is under way. */
    std::shared_ptr<pending> self;
};

template <class T>
result<T> outcome(waldo_completion &done);

/** An operation whose result is a T. */
template <class T, class Function>
class pending_of final : public pending {
    static_assert(std::is_invocable_v<Function &, result<T>>, "the function takes a result<T>");

public:
    explicit pending_of(Function function) : function_(std::move(function)) {}

    void complete(waldo_completion &done) noexcept override
    {
        Function function = std::move(*function_);
        function_.reset();
        function(outcome<T>(done));
    }
    void forget() noexcept override { function_.reset(); }

private:
    std::optional<Function> function_;
};

} // namespace detail

/** An operation under way: keep it to cancel it, or throw it away. */
class operation {
private:
    friend class queue;

    explicit operation(std::shared_ptr<detail::pending> own) noexcept : own_(std::move(own)) {}

    /** As long as it is there, no other operation has its number. */
    std::shared_ptr<detail::pending> own_;
};

/** Where operations complete: a callback_queue, or a poll_queue. */
class queue {
public:
    /** Cancels a query or a stream read that waits; see waldo_queue_cancel. */
    result<void> cancel(const operation &under_way) const
    {
        return detail::answer(waldo_queue_cancel(raw(), number(*under_way.own_)));
    }

    /**
     * Submits an operation whose result is a T: submit(queue, user_data, error) calls waldo.h. For the
     * functions below, and for calls that this header does not know.
     */
    template <class T, class Function, class Submit>
    result<operation> submit(Function &&function, Submit &&submit)
    {
        auto own = std::make_shared<detail::pending_of<T, std::decay_t<Function>>>(
            std::forward<Function>(function));
        if (registry_)
            registry_->insert(own.get());
        own->self = own;
        const auto submitted = detail::attempt(
            [&](waldo_error *why) { return submit(raw(), number(*own), why); });
        if (submitted)
            return operation(std::move(own));
        take(known(), *own)->forget();
        return submitted.error();
    }

    waldo_queue *raw() const noexcept { return handle_.get(); }

protected:
    /** Operations under way whose completions may never be taken out. */
    class registry {
    public:
        void insert(detail::pending *own)
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            all_.insert(own);
        }
        void erase(detail::pending *own)
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            all_.erase(own);
        }
        registry() = default;
        registry(const registry &) = delete;
        registry &operator=(const registry &) = delete;
        ~registry()
        {
            for (detail::pending *own : all_)
                std::exchange(own->self, nullptr)->forget();
        }

    private:
        std::mutex mutex_;
        std::unordered_set<detail::pending *> all_;
    };

    queue(waldo_queue *raw, std::unique_ptr<registry> own) noexcept
        : registry_(std::move(own)), handle_(raw)
    {
    }

    static void complete(registry *known, waldo_completion done)
    {
        const auto own = static_cast<std::uintptr_t>(done.user_data);
        take(known, *reinterpret_cast<detail::pending *>(own))->complete(done);
    }
    registry *known() const noexcept { return registry_.get(); }

private:
    static std::uint64_t number(detail::pending &own) noexcept
    {
        return reinterpret_cast<std::uintptr_t>(&own);
    }

    static std::shared_ptr<detail::pending> take(registry *known, detail::pending &own)
    {
        if (known)
            known->erase(&own);
        return std::exchange(own.self, nullptr);
    }

    /** Behind the queue: what it does not complete any more is forgotten. */
    std::unique_ptr<registry> registry_;
    detail::handle<waldo_queue, waldo_queue_release> handle_;
};

/**
 * A queue whose functions are called on a thread of its own. At its end queries and stream reads
 * that wait are cancelled; the functions of all operations are still called, if need be later.
 */
class callback_queue : public queue {
public:
    /** For depth operations under way at a time. */
    static result<callback_queue> make(std::uint32_t depth)
    {
        waldo_queue *raw = nullptr;
        const auto made = detail::attempt([&](waldo_error *why) {
            return waldo_queue_new_callback(depth, call, nullptr, &raw, why);
        });
        if (!made)
            return made.error();
        return callback_queue(raw);
    }

private:
    explicit callback_queue(waldo_queue *raw) noexcept : queue(raw, nullptr) {}

    static void call(void *, const waldo_completion *completions, std::size_t count) noexcept
    {
        for (std::size_t i = 0; i < count; i++)
            complete(nullptr, completions[i]);
    }
};

/**
 * A queue whose functions are called by whoever runs it. At its end the functions of operations
 * that are under way, or whose completions nobody took, are destroyed, and not called.
 */
class poll_queue : public queue {
public:
    /** For depth operations under way at a time. */
    static result<poll_queue> make(std::uint32_t depth)
    {
        auto own = std::make_unique<registry>();
        waldo_queue *raw = nullptr;
        const auto made = detail::attempt(
            [&](waldo_error *why) { return waldo_queue_new(depth, &raw, why); });
        if (!made)
            return made.error();
        return poll_queue(raw, std::move(own));
    }

    /** Readable while poll() may find something: for epoll and the like. */
    int fd() const noexcept { return waldo_queue_fd(raw()); }

    /** Calls the functions of operations that are complete; answers how many. Does not wait. */
    std::size_t poll()
    {
        std::array<waldo_completion, 64> done;
        std::size_t count = 0, all = 0;
        do {
            count = waldo_queue_poll(raw(), done.data(), done.size());
            call(done.data(), count);
            all += count;
        } while (count == done.size());
        return all;
    }

    /** The same, and waits until there is at least one; WALDO_TIMEOUT where there is none. */
    result<std::size_t> run(std::chrono::nanoseconds timeout = forever)
    {
        std::array<waldo_completion, 64> done;
        std::size_t count = 0;
        const auto waited = detail::answer(
            waldo_queue_wait(raw(), done.data(), done.size(), 1, timeout.count(), &count));
        call(done.data(), count);
        return detail::with<std::size_t>(waited, count);
    }

private:
    poll_queue(waldo_queue *raw, std::unique_ptr<registry> own) noexcept : queue(raw, std::move(own))
    {
    }

    void call(const waldo_completion *completions, std::size_t count)
    {
        for (std::size_t i = 0; i < count; i++)
            complete(known(), completions[i]);
    }
};

/** An open store. */
class store {
public:
    /** Takes over a reference. */
    explicit store(waldo *raw) noexcept : handle_(raw) {}

    static result<store> open(const std::string &path, const options &with)
    {
        return open(path, with.raw());
    }
    /** With the default options. */
    static result<store> open(const std::string &path)
    {
        return open(path, static_cast<const waldo_options *>(nullptr));
    }
    /** The function takes a result<store>. */
    template <class Function>
    static result<operation> open_async(const std::string &path, const options &with, queue &to,
                                        Function &&function)
    {
        return to.submit<store>(
            std::forward<Function>(function),
            [&](waldo_queue *raw_queue, std::uint64_t user_data, waldo_error *why) {
                return waldo_open_async(path.c_str(), with.raw(), raw_queue, user_data, why);
            });
    }

    result<void> close(std::chrono::nanoseconds timeout = forever) const
    {
        return detail::attempt(
            [&](waldo_error *why) { return waldo_close(raw(), timeout.count(), why); });
    }
    template <class Function>
    result<operation> close_async(queue &to, Function &&function) const
    {
        return manage(to, function, waldo_close_async);
    }

    /** Appends one payload, which the store numbers. */
    result<std::uint64_t> append(bytes payload, std::uint32_t flags = 0) const
    {
        return append(log(payload), flags | WALDO_APPEND_ASSIGN);
    }
    /** Answers the number of the last log. */
    result<std::uint64_t> append(logs batch, std::uint32_t flags = 0) const
    {
        std::uint64_t last = 0;
        const auto done = detail::attempt([&](waldo_error *why) {
            return waldo_append(raw(), &batch.data()->raw_, batch.size(), flags, &last, why);
        });
        return detail::with<std::uint64_t>(done, last);
    }
    /** Payloads back to back in base, which the store numbers; ends[i] is where payload i ends. */
    result<std::uint64_t> append_packed(bytes base, const std::uint64_t *ends, std::size_t count,
                                        std::uint32_t flags = 0) const
    {
        std::uint64_t last = 0;
        const auto done = detail::attempt([&](waldo_error *why) {
            return waldo_append_packed(raw(), base.data(), base.size(), ends, count, flags, &last,
                                       why);
        });
        return detail::with<std::uint64_t>(done, last);
    }
    /** The functions take a result<appended>. */
    template <class Function>
    result<operation> append_async(bytes payload, std::uint32_t flags, queue &to,
                                   Function &&function) const
    {
        return append_async(log(payload), flags | WALDO_APPEND_ASSIGN, to,
                            std::forward<Function>(function));
    }
    template <class Function>
    result<operation> append_async(logs batch, std::uint32_t flags, queue &to,
                                   Function &&function) const
    {
        return to.submit<appended>(
            std::forward<Function>(function),
            [&](waldo_queue *raw_queue, std::uint64_t user_data, waldo_error *why) {
                return waldo_append_async(raw(), &batch.data()->raw_, batch.size(), flags,
                                          raw_queue, user_data, why);
            });
    }
    template <class Function>
    result<operation> append_packed_async(bytes base, const std::uint64_t *ends, std::size_t count,
                                          std::uint32_t flags, queue &to, Function &&function) const
    {
        return to.submit<appended>(
            std::forward<Function>(function),
            [&](waldo_queue *raw_queue, std::uint64_t user_data, waldo_error *why) {
                return waldo_append_packed_async(raw(), base.data(), base.size(), ends, count,
                                                 flags, raw_queue, user_data, why);
            });
    }

    result<void> sync() const { return manage(waldo_sync); }
    result<void> trim(std::uint64_t up_to_seq_no) const { return manage(waldo_trim, up_to_seq_no); }
    result<void> truncate(std::uint64_t after_seq_no) const
    {
        return manage(waldo_truncate, after_seq_no);
    }
    result<void> clear() const { return manage(waldo_clear); }
    /** The functions take a result<void>. */
    template <class Function>
    result<operation> sync_async(queue &to, Function &&function) const
    {
        return manage(to, function, waldo_sync_async);
    }
    template <class Function>
    result<operation> trim_async(std::uint64_t up_to_seq_no, queue &to, Function &&function) const
    {
        return manage(to, function, waldo_trim_async, up_to_seq_no);
    }
    template <class Function>
    result<operation> truncate_async(std::uint64_t after_seq_no, queue &to,
                                     Function &&function) const
    {
        return manage(to, function, waldo_truncate_async, after_seq_no);
    }
    template <class Function>
    result<operation> clear_async(queue &to, Function &&function) const
    {
        return manage(to, function, waldo_clear_async);
    }

    result<chunk> query(cursor at, std::uint32_t flags = 0,
                        std::chrono::nanoseconds timeout = forever) const
    {
        waldo_chunk *found = nullptr;
        const auto done = detail::attempt([&](waldo_error *why) {
            return waldo_query(raw(), at.kind, at.seq_no, flags, timeout.count(), &found, why);
        });
        return detail::with<chunk>(done, found);
    }
    /** The function takes a result<chunk>. */
    template <class Function>
    result<operation> query_async(cursor at, std::uint32_t flags, queue &to,
                                  Function &&function) const
    {
        return to.submit<chunk>(
            std::forward<Function>(function),
            [&](waldo_queue *raw_queue, std::uint64_t user_data, waldo_error *why) {
                return waldo_query_async(raw(), at.kind, at.seq_no, flags, raw_queue, user_data,
                                         why);
            });
    }

    result<std::uint64_t> prev_seq_no() const { return number(waldo_prev_seq_no); }
    result<std::uint64_t> durable_seq_no() const { return number(waldo_durable_seq_no); }
    result<waldo_metadata> metadata() const { return filled<waldo_metadata>(waldo_metadata_get); }
    result<waldo_recovery> recovery() const { return filled<waldo_recovery>(waldo_recovery_get); }

    store share() const noexcept
    {
        waldo_retain(raw());
        return store(raw());
    }
    waldo *raw() const noexcept { return handle_.get(); }

private:
    static result<store> open(const std::string &path, const waldo_options *with)
    {
        waldo *opened = nullptr;
        const auto done = detail::attempt(
            [&](waldo_error *why) { return waldo_open(path.c_str(), with, &opened, why); });
        return detail::with<store>(done, opened);
    }

    template <class Call, class... Arguments>
    result<void> manage(Call call, Arguments... arguments) const
    {
        return detail::attempt([&](waldo_error *why) { return call(raw(), arguments..., why); });
    }
    template <class Function, class Call, class... Arguments>
    result<operation> manage(queue &to, Function &function, Call call, Arguments... arguments) const
    {
        return to.submit<void>(
            std::forward<Function>(function),
            [&](waldo_queue *raw_queue, std::uint64_t user_data, waldo_error *why) {
                return call(raw(), arguments..., raw_queue, user_data, why);
            });
    }

    template <class Call>
    result<std::uint64_t> number(Call call) const
    {
        std::uint64_t found = 0;
        const auto done = detail::answer(call(raw(), &found));
        return detail::with<std::uint64_t>(done, found);
    }
    template <class Struct, class Call>
    result<Struct> filled(Call call) const
    {
        Struct found{};
        const auto done = detail::attempt(
            [&](waldo_error *why) { return call(raw(), &found, sizeof found, why); });
        return detail::with<Struct>(done, found);
    }

    detail::handle<waldo, waldo_release> handle_;
};

/** A reader that follows the log, chunk by chunk. It keeps its store. */
class stream {
public:
    static result<stream> make(const store &of, cursor at)
    {
        waldo_stream *made = nullptr;
        const auto done = detail::attempt([&](waldo_error *why) {
            return waldo_stream_new(of.raw(), at.kind, at.seq_no, 0, &made, why);
        });
        return detail::with<stream>(done, made);
    }

    /** Takes over a reference. */
    explicit stream(waldo_stream *raw) noexcept : handle_(raw) {}

    result<chunk> next(std::chrono::nanoseconds timeout = forever)
    {
        waldo_chunk *found = nullptr;
        const auto done = detail::attempt([&](waldo_error *why) {
            return waldo_stream_next(raw(), timeout.count(), &found, why);
        });
        return detail::with<chunk>(done, found);
    }
    /** The function takes a result<chunk>. */
    template <class Function>
    result<operation> next_async(queue &to, Function &&function)
    {
        return to.submit<chunk>(
            std::forward<Function>(function),
            [&](waldo_queue *raw_queue, std::uint64_t user_data, waldo_error *why) {
                return waldo_stream_next_async(raw(), raw_queue, user_data, why);
            });
    }
    std::uint64_t position() const noexcept { return waldo_stream_position(raw()); }
    result<void> seek(std::uint64_t seq_no)
    {
        return detail::attempt(
            [&](waldo_error *why) { return waldo_stream_seek(raw(), seq_no, why); });
    }
    waldo_stream *raw() const noexcept { return handle_.get(); }

private:
    detail::handle<waldo_stream, waldo_stream_release> handle_;
};

namespace detail {

/** What an operation gave. */
template <class T>
result<T> outcome(waldo_completion &done)
{
    if (done.status != WALDO_OK)
        return error(done);
    if constexpr (std::is_same_v<T, appended>)
        return appended{done.first_seq_no, done.last_seq_no, done.count};
    else if constexpr (std::is_same_v<T, chunk>)
        return chunk(std::exchange(done.chunk, nullptr));
    else if constexpr (std::is_same_v<T, store>)
        return store(std::exchange(done.store, nullptr));
    else
        return result<T>();
}

} // namespace detail

#if defined(__cpp_impl_coroutine)

namespace detail {

template <class T, class Submit>
class awaitable {
public:
    explicit awaitable(Submit submit) : submit_(std::move(submit)) {}

    bool await_ready() const noexcept { return false; }
    /** Not inlined into the coroutine, which may be gone before this returns. */
    [[gnu::noinline]] bool await_suspend(std::coroutine_handle<> waiting)
    {
        /* Here, for the same reason. */
        Submit submit = std::move(submit_);
        auto done = [this, waiting](result<T> outcome) {
            outcome_.emplace(std::move(outcome));
            waiting.resume();
        };
        const result<operation> submitted = submit(std::move(done));
        if (submitted)
            return true;
        outcome_.emplace(submitted.error());
        return false;
    }
    result<T> await_resume() { return std::move(*outcome_); }

private:
    Submit submit_;
    std::optional<result<T>> outcome_;
};

} // namespace detail

/**
 * Waits in a coroutine for an operation whose result is a T:
 *
 *     auto logs = co_await libwaldo::completed<libwaldo::chunk>(
 *         [&](auto done) { return stream.next_async(queue, std::move(done)); });
 *
 * The coroutine goes on where functions of the queue are called; what holds for them holds for it.
 * One whose operation is forgotten never goes on: take all completions out of a poll_queue first.
 */
template <class T, class Submit>
detail::awaitable<T, Submit> completed(Submit submit)
{
    return detail::awaitable<T, Submit>(std::move(submit));
}

#endif

} // namespace libwaldo

#endif
