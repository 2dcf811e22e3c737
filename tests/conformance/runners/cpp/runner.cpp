// Carries out conformance scripts in C++: runner SCRIPT...
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <waldo.h>

namespace {

using Outputs = std::map<std::string, std::string>;

constexpr std::chrono::seconds patience{30};
constexpr std::int64_t patience_ns = std::chrono::nanoseconds{patience}.count();
constexpr std::int64_t for_ever = -1;
// What outputs hold before a call, so that one that is not written is noticed.
constexpr std::uint64_t garbage = 0x5a5a5a5a5a5a5a58;

/// A step that does not answer what it must.
struct Wrong : std::runtime_error {
    using std::runtime_error::runtime_error;
};

template <class T> std::string text_of(const T &value)
{
    std::ostringstream out;
    out << value;
    return out.str();
}

std::string name_of(waldo_status status) { return waldo_status_name(status); }

std::vector<std::string> split(const std::string &text, char separator)
{
    std::vector<std::string> parts;
    std::istringstream in{text};
    for (std::string part; std::getline(in, part, separator);)
        parts.push_back(part);
    return parts;
}

/// A payload, such as `a%2c` or `x*1000`.
std::string unescape(const std::string &text)
{
    const auto star = std::min(text.find('*'), text.size());
    std::string unit, all;
    for (std::size_t at = 0; at < star; at++) {
        if (text[at] != '%') {
            unit += text[at];
            continue;
        }
        unit += static_cast<char>(std::stoi(text.substr(at + 1, 2), nullptr, 16));
        at += 2;
    }
    auto times = star < text.size() ? std::stoul(text.substr(star + 1)) : 1;
    while (times-- > 0)
        all += unit;
    return all;
}

std::string escape(const std::uint8_t *payload, std::uint64_t len)
{
    static const char digits[] = "0123456789abcdef";
    std::string text;
    std::for_each(payload, payload + len, [&](std::uint8_t byte) {
        if (byte != 0 && byte < 128 && (std::isalnum(byte) || std::strchr("_.-", byte)))
            text += static_cast<char>(byte);
        else
            (text += '%') += {digits[byte >> 4], digits[byte & 15]};
    });
    return text;
}

/// Payloads that the library may still use.
std::deque<std::string> kept;

const std::uint8_t *keep(std::string payload)
{
    kept.push_back(std::move(payload));
    return reinterpret_cast<const std::uint8_t *>(kept.back().data());
}

std::vector<waldo_log> parse_logs(const std::string &text)
{
    std::vector<waldo_log> logs;
    for (const auto &item : split(text, ',')) {
        const auto first = item.find(':'), second = item.find(':', first + 1);
        if (second == std::string::npos)
            throw Wrong{"no log: " + item};
        auto payload = unescape(item.substr(second + 1));
        const auto len = payload.size();
        logs.push_back({std::stoull(item), std::stoull(item.substr(first + 1)),
                        keep(std::move(payload)), len});
    }
    return logs;
}

std::string format_logs(const std::vector<waldo_log> &logs)
{
    std::string text;
    for (const auto &log : logs)
        text += (text.empty() ? "" : ",") + text_of(log.seq_no) + ':' +
                text_of(log.prev_seq_no) + ':' + escape(log.data, log.len);
    return text;
}

/// The arguments of a step; each must be asked for.
class Arguments {
public:
    explicit Arguments(std::istream &words)
    {
        for (std::string word; words >> word;) {
            const auto at = word.find('=');
            if (at == std::string::npos)
                throw Wrong{"no argument: " + word};
            given[word.substr(0, at)] = word.substr(at + 1);
        }
    }

    /// NULL where it is not given.
    const char *text(const std::string &key)
    {
        asked.insert(key);
        const auto found = given.find(key);
        return found == given.end() ? nullptr : found->second.c_str();
    }

    /// A number, or names of constants with | in between.
    std::int64_t integer(const std::string &key, std::int64_t otherwise)
    {
        static const std::map<std::string, std::int64_t> constants{
            {"ASSIGN", WALDO_APPEND_ASSIGN}, {"ATOMIC", WALDO_APPEND_ATOMIC},
            {"DURABLE", WALDO_APPEND_DURABLE}, {"BORROW", WALDO_APPEND_BORROW},
            {"WAIT", WALDO_QUERY_WAIT},       {"TRIM", WALDO_CURSOR_TRIM},
            {"TIP", WALDO_CURSOR_TIP},        {"AFTER", WALDO_CURSOR_AFTER},
            {"FROM", WALDO_CURSOR_FROM},
        };
        const char *found = text(key);
        if (found == nullptr)
            return otherwise;
        if (*found == '-')
            return std::stoll(found);
        if (std::isdigit(static_cast<unsigned char>(*found)))
            return static_cast<std::int64_t>(std::stoull(found));
        std::int64_t sum = 0;
        for (const auto &name : split(found, '|')) {
            if (constants.count(name) == 0)
                throw Wrong{"there is no constant " + name};
            sum += constants.at(name);
        }
        return sum;
    }

    template <class T = std::uint64_t> T number(const std::string &key)
    {
        return static_cast<T>(integer(key, 0));
    }

    void check(const std::string &verb) const
    {
        for (const auto &[key, value] : given)
            if (asked.count(key) == 0)
                throw Wrong{verb + " has no argument " + key};
    }

private:
    std::map<std::string, std::string> given;
    std::set<std::string> asked;
};

/// A queue, and the completions that came out of it and were not asked for yet.
struct Queue {
    waldo_queue *handle = nullptr;
    bool is_polled = true;
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<waldo_completion> taken;

    void add(const waldo_completion *done, std::size_t count)
    {
        const std::lock_guard lock{mutex};
        taken.insert(taken.end(), done, done + count);
        changed.notify_all();
    }

    waldo_completion take(std::uint64_t user_data)
    {
        const auto deadline = std::chrono::steady_clock::now() + patience;
        const auto is_meant = [&](const auto &done) { return done.user_data == user_data; };
        std::unique_lock lock{mutex};
        for (;;) {
            const auto found = std::find_if(taken.begin(), taken.end(), is_meant);
            if (found != taken.end()) {
                const auto done = *found;
                taken.erase(found);
                return done;
            }
            if (is_polled ? !poll() : !changed.wait_until(lock, deadline, [&] {
                    return std::any_of(taken.begin(), taken.end(), is_meant);
                }))
                throw Wrong{"no completion has the user_data " + text_of(user_data)};
        }
    }

private:
    bool poll()
    {
        waldo_completion done;
        std::size_t count = 0;
        waldo_queue_wait(handle, &done, 1, 1, patience_ns, &count);
        taken.insert(taken.end(), &done, &done + count);
        return count == 1;
    }
};

void on_completions(void *context, const waldo_completion *done, std::size_t count)
{
    static_cast<Queue *>(context)->add(done, count);
}

/// The handles of a script, by kind and name.
std::map<std::string, void *> handles;
std::map<std::string, std::shared_ptr<Queue>> queues;
/// Queues whose callback may still run.
std::vector<std::shared_ptr<Queue>> all_queues;

/// A handle that an argument names, for a parameter of any type of handle.
class Handle {
public:
    Handle(const char *kind, Arguments &a)
    {
        const char *name = a.text(kind);
        if (name == nullptr || std::strcmp(name, "NULL") == 0)
            return;
        const auto found = handles.find(std::string{kind} + ' ' + name);
        if (found == handles.end())
            throw Wrong{std::string{"there is no "} + kind + ' ' + name};
        handle = found->second;
    }

    template <class T> operator T *() const { return static_cast<T *>(handle); }

private:
    void *handle = nullptr;
};

void name_handle(const char *kind, Arguments &a, void *handle)
{
    const char *name = a.text(kind);
    if (handle != nullptr && name == nullptr)
        throw Wrong{std::string{"there is a "} + kind + ", which the step does not name"};
    if (name != nullptr)
        handles[std::string{kind} + ' ' + name] = handle;
}

/// Calls a function that ends with a waldo_error, and checks what is in that.
template <class... Inputs, class... Parameters>
Outputs advised(waldo_status (*function)(Parameters...), Inputs &&...inputs)
{
    waldo_error error;
    std::memset(&error, 0x5a, sizeof error);
    const auto status = function(std::forward<Inputs>(inputs)..., &error);
    if (error.status != status)
        throw Wrong{"answers " + name_of(status) + ", but the error " + text_of(error.status)};
    for (const auto reserved : error.reserved)
        if (reserved != 0)
            throw Wrong{"reserved is not zero"};
    return {{"status", name_of(status)},        {"message", error.message},
            {"os_errno", text_of(error.os_errno)}, {"wanted", text_of(error.wanted)},
            {"actual", text_of(error.actual)}};
}

template <class... Inputs, class... Parameters>
Outputs call(waldo_status (*function)(Parameters...), Inputs &&...inputs)
{
    auto found = advised(function, std::forward<Inputs>(inputs)...);
    if ((found["status"] == "WALDO_OK") != found["message"].empty())
        throw Wrong{"answers " + found["status"] + " with the message " + found["message"]};
    return found;
}

/// Calls a function that gives out a handle.
template <class T, class... Inputs, class... Parameters>
Outputs make(const char *kind, Arguments &a, waldo_status (*function)(Parameters...),
             Inputs &&...inputs)
{
    const auto unwritten = reinterpret_cast<T *>(garbage);
    T *out = unwritten;
    auto found = call(function, std::forward<Inputs>(inputs)..., &out);
    if ((found["status"] == "WALDO_OK") != (out != nullptr) || out == unwritten)
        throw Wrong{found["status"] + " with a wrong " + kind};
    name_handle(kind, a, out);
    return found;
}

template <class... Inputs, class... Parameters>
Outputs numbered(const char *key, waldo_status (*function)(Parameters...), Inputs &&...inputs)
{
    std::uint64_t out = garbage;
    auto found = call(function, std::forward<Inputs>(inputs)..., &out);
    found[key] = text_of(out);
    return found;
}

Handle store(Arguments &a) { return {"store", a}; }
Handle stream(Arguments &a) { return {"stream", a}; }
Handle chunk(Arguments &a) { return {"chunk", a}; }
Handle queue(Arguments &a) { return {"queue", a}; }
Handle options(Arguments &a) { return {"options", a}; }
std::uint64_t seq_no(Arguments &a) { return a.number("seq_no"); }
std::uint64_t user_data(Arguments &a) { return a.number("user_data"); }
std::uint32_t flags(Arguments &a) { return a.number<std::uint32_t>("flags"); }
std::uint32_t cursor(Arguments &a) { return a.number<std::uint32_t>("cursor"); }
std::int64_t timeout(Arguments &a) { return a.integer("timeout_ns", for_ever); }
std::string or_none(const char *text) { return text == nullptr ? "" : text; }

struct Packed {
    const std::uint8_t *base;
    std::uint64_t len;
    std::vector<std::uint64_t> ends;

    explicit Packed(Arguments &a)
    {
        std::string bytes;
        const char *given = a.text("payloads");
        auto items = split(or_none(given), ',');
        // What is behind the last comma, or alone, may be empty.
        if (given != nullptr && (*given == 0 || given[std::strlen(given) - 1] == ','))
            items.emplace_back();
        for (auto times = a.integer("times", 1); times > 0; times--)
            for (const auto &item : items)
                ends.push_back((bytes += unescape(item)).size());
        len = bytes.size();
        base = keep(std::move(bytes));
    }
};

std::shared_ptr<Queue> known_queue(Arguments &a)
{
    const auto found = queues.find(or_none(a.text("queue")));
    if (found == queues.end())
        throw Wrong{"there is no such queue"};
    return found->second;
}

template <class Make> Outputs new_queue(Arguments &a, bool is_polled, Make make_it)
{
    const auto made = std::make_shared<Queue>();
    made->is_polled = is_polled;
    all_queues.push_back(made);
    auto found = make_it(made.get());
    made->handle = queue(a);
    queues[or_none(a.text("queue"))] = made;
    return found;
}

Outputs value(const std::string &found) { return {{"value", found}}; }

template <class T> Outputs number_of(waldo_status (*function)(T *, std::uint64_t *), Arguments &a)
{
    std::uint64_t out = garbage;
    const auto status = function(store(a), &out);
    return {{"status", name_of(status)}, {"value", text_of(out)}};
}

std::vector<waldo_log> logs_of(const waldo_chunk *chunk, std::size_t first, std::size_t capacity)
{
    std::vector<waldo_log> logs(capacity);
    logs.resize(waldo_chunk_logs(chunk, first, logs.data(), capacity));
    return logs;
}

Outputs take(Arguments &a)
{
    static const char *const kinds[] = {"",     "OPEN",     "CLOSE", "APPEND", "SYNC",
                                        "TRIM", "TRUNCATE", "CLEAR", "QUERY",  "STREAM_NEXT"};
    const auto done = known_queue(a)->take(user_data(a));
    name_handle("chunk", a, done.chunk);
    name_handle("store", a, done.store);
    if (done.flags != 0 || done.reserved[0] != 0 || done.reserved[1] != 0)
        throw Wrong{"flags or reserved of the completion are not zero"};
    if (done.kind >= std::size(kinds))
        throw Wrong{"the completion is of the kind " + text_of(done.kind)};
    return {{"status", name_of(done.status)},
            {"kind", kinds[done.kind]},
            {"os_errno", text_of(done.os_errno)},
            {"first_seq_no", text_of(done.first_seq_no)},
            {"last_seq_no", text_of(done.last_seq_no)},
            {"count", text_of(done.count)},
            {"wanted", text_of(done.wanted)},
            {"actual", text_of(done.actual)}};
}

Outputs stream_read(Arguments &a)
{
    std::string logs;
    for (auto left = a.number<std::size_t>("count"); left > 0;) {
        waldo_chunk *chunk = nullptr;
        const auto found = call(waldo_stream_next, stream(a), patience_ns, &chunk);
        if (chunk == nullptr)
            throw Wrong{"stream_next answers " + found.at("status")};
        // A chunk may hold more.
        const auto some = logs_of(chunk, 0, left);
        logs += (logs.empty() ? "" : ",") + format_logs(some);
        left -= some.size();
        waldo_chunk_release(chunk);
    }
    return {{"logs", logs}};
}

#define FIELD(name) {#name, text_of(out.name)}

Outputs metadata_get(Arguments &a)
{
    waldo_metadata out;
    std::memset(&out, 0x5a, sizeof out);
    const auto size = static_cast<std::size_t>(a.integer("size", sizeof out));
    auto found = call(waldo_metadata_get, store(a), &out, size);
    found.merge(Outputs{
        FIELD(after_seq_no), FIELD(prev_seq_no), FIELD(durable_seq_no), FIELD(log_count),
        FIELD(index_count), FIELD(disk_size), FIELD(index_size), FIELD(page_count),
        FIELD(pending_resets), FIELD(pending_appends), FIELD(pending_queries),
        FIELD(pending_fsyncs), FIELD(buffers_free), FIELD(buffers_detached),
        FIELD(read_memory_used), FIELD(waiting_streams), FIELD(log_size_limit),
        FIELD(batch_size_limit), FIELD(batch_count_limit)});
    return found;
}

Outputs recovery_get(Arguments &a)
{
    waldo_recovery out;
    std::memset(&out, 0x5a, sizeof out);
    const auto size = static_cast<std::size_t>(a.integer("size", sizeof out));
    auto found = call(waldo_recovery_get, store(a), &out, size);
    found.merge(Outputs{FIELD(created), FIELD(page_count), FIELD(sealed_page_count),
                        FIELD(bytes_read), FIELD(log_count), FIELD(after_seq_no),
                        FIELD(prev_seq_no), FIELD(dropped), FIELD(dropped_page),
                        FIELD(dropped_offset), FIELD(dropped_frame_count), FIELD(cut),
                        FIELD(cut_page), FIELD(cut_offset), FIELD(cut_after_seq_no),
                        FIELD(quarantined_count), FIELD(duration_ns)});
    return found;
}

/// Completions that were taken out, for `take`.
void stash(Arguments &a, const std::vector<waldo_completion> &done, std::size_t count)
{
    if (count > 0)
        known_queue(a)->add(done.data(), count);
}

Outputs queue_poll(Arguments &a)
{
    std::vector<waldo_completion> done(a.number<std::size_t>("capacity"));
    const auto count = waldo_queue_poll(queue(a), done.data(), done.size());
    stash(a, done, count);
    return {{"count", text_of(count)}};
}

Outputs queue_wait(Arguments &a)
{
    std::vector<waldo_completion> done(a.number<std::size_t>("capacity"));
    std::size_t count = garbage;
    const auto status = waldo_queue_wait(queue(a), done.data(), done.size(),
                                         a.number<std::size_t>("min"), timeout(a), &count);
    stash(a, done, count);
    return {{"status", name_of(status)}, {"count", text_of(count)}};
}

Outputs chunk_data(Arguments &a)
{
    std::size_t len = garbage;
    const auto *data = waldo_chunk_data(chunk(a), &len);
    if (data == nullptr && len != 0)
        throw Wrong{text_of(len) + " bytes at NULL"};
    return {{"len", text_of(len)}, {"data", escape(data, len)}};
}

Outputs probe(Arguments &)
{
    std::uint64_t features = garbage;
    auto found = advised(waldo_probe, &features);
    found["features"] = text_of(features);
    return found;
}

Outputs options_new(Arguments &a)
{
    auto *out = reinterpret_cast<waldo_options *>(garbage);
    const auto status = waldo_options_new(&out);
    name_handle("options", a, out);
    return {{"status", name_of(status)}};
}

Outputs options_get(Arguments &a)
{
    char out[64] = "garbage";
    const auto size = static_cast<std::size_t>(a.integer("size", sizeof out));
    auto found = call(waldo_options_get, options(a), a.text("key"), &out[0], size);
    found["value"] = out;
    return found;
}

Outputs options_key(Arguments &a)
{
    const char *key = waldo_options_key(a.number<std::size_t>("index"));
    return value(key == nullptr ? "NULL" : key);
}

/// A verb that answers nothing.
template <class F> auto silent(F function)
{
    return [function](Arguments &a) {
        function(a);
        return Outputs{};
    };
}

/// A verb for an asynchronous call, whose last arguments are the same for all.
#define SUBMIT(function, ...) \
    [](Arguments &a) { return call(function, __VA_ARGS__, queue(a), user_data(a)); }
#define CALL(function, ...) [](Arguments &a) { return call(function, __VA_ARGS__); }
#define VALUE(expression) [](Arguments &a) { return (void)a, value(text_of(expression)); }

const std::map<std::string, std::function<Outputs(Arguments &)>> verbs{
    {"version_number", VALUE(waldo_version_number())},
    {"version_string", VALUE(waldo_version_string())},
    {"abi_version", VALUE(waldo_abi_version())},
    {"probe", probe},
    {"status_name", VALUE(waldo_status_name(a.number<waldo_status>("status")))},
    {"status_traits", VALUE(waldo_status_traits(a.number<waldo_status>("status")))},

    {"options_new", options_new},
    {"options_free", silent([](Arguments &a) { waldo_options_free(options(a)); })},
    {"options_set", CALL(waldo_options_set, options(a), a.text("key"), a.text("value"))},
    {"options_set_u64",
     CALL(waldo_options_set_u64, options(a), a.text("key"), a.number("value"))},
    {"options_get", options_get},
    {"options_key", options_key},

    {"queue_new",
     [](Arguments &a) {
         return new_queue(a, true, [&](Queue *) {
             return make<waldo_queue>("queue", a, waldo_queue_new,
                                      a.number<std::uint32_t>("depth"));
         });
     }},
    {"queue_new_callback",
     [](Arguments &a) {
         return new_queue(a, false, [&](Queue *context) {
             return make<waldo_queue>("queue", a, waldo_queue_new_callback,
                                      a.number<std::uint32_t>("depth"), on_completions, context);
         });
     }},
    {"queue_fd", VALUE(waldo_queue_fd(queue(a)))},
    {"queue_poll", queue_poll},
    {"queue_wait", queue_wait},
    {"queue_cancel",
     [](Arguments &a) {
         return Outputs{{"status", name_of(waldo_queue_cancel(queue(a), user_data(a)))}};
     }},
    {"queue_release", silent([](Arguments &a) { waldo_queue_release(queue(a)); })},
    {"take", take},

    {"open",
     [](Arguments &a) {
         return make<waldo>("store", a, waldo_open, a.text("path"), options(a));
     }},
    {"open_async", SUBMIT(waldo_open_async, a.text("path"), options(a))},
    {"close", CALL(waldo_close, store(a), timeout(a))},
    {"close_async", SUBMIT(waldo_close_async, store(a))},
    {"retain", silent([](Arguments &a) { waldo_retain(store(a)); })},
    {"release", silent([](Arguments &a) { waldo_release(store(a)); })},
    {"append",
     [](Arguments &a) {
         const auto logs = parse_logs(or_none(a.text("logs")));
         return numbered("last_seq_no", waldo_append, store(a), logs.data(), logs.size(),
                         flags(a));
     }},
    {"append_async",
     [](Arguments &a) {
         const auto logs = parse_logs(or_none(a.text("logs")));
         return call(waldo_append_async, store(a), logs.data(), logs.size(), flags(a), queue(a),
                     user_data(a));
     }},
    {"append_packed",
     [](Arguments &a) {
         const Packed all{a};
         return numbered("last_seq_no", waldo_append_packed, store(a), all.base, all.len,
                         all.ends.data(), all.ends.size(), flags(a));
     }},
    {"append_packed_async",
     [](Arguments &a) {
         const Packed all{a};
         return call(waldo_append_packed_async, store(a), all.base, all.len, all.ends.data(),
                     all.ends.size(), flags(a), queue(a), user_data(a));
     }},
    {"sync", CALL(waldo_sync, store(a))},
    {"sync_async", SUBMIT(waldo_sync_async, store(a))},
    {"trim", CALL(waldo_trim, store(a), seq_no(a))},
    {"trim_async", SUBMIT(waldo_trim_async, store(a), seq_no(a))},
    {"truncate", CALL(waldo_truncate, store(a), seq_no(a))},
    {"truncate_async", SUBMIT(waldo_truncate_async, store(a), seq_no(a))},
    {"clear", CALL(waldo_clear, store(a))},
    {"clear_async", SUBMIT(waldo_clear_async, store(a))},
    {"metadata_get", metadata_get},
    {"recovery_get", recovery_get},
    {"prev_seq_no", [](Arguments &a) { return number_of(waldo_prev_seq_no, a); }},
    {"durable_seq_no", [](Arguments &a) { return number_of(waldo_durable_seq_no, a); }},

    {"query",
     [](Arguments &a) {
         return make<waldo_chunk>("chunk", a, waldo_query, store(a), cursor(a), seq_no(a),
                                  flags(a), timeout(a));
     }},
    {"query_async", SUBMIT(waldo_query_async, store(a), cursor(a), seq_no(a), flags(a))},
    {"stream_new",
     [](Arguments &a) {
         return make<waldo_stream>("stream", a, waldo_stream_new, store(a), cursor(a), seq_no(a),
                                   flags(a));
     }},
    {"stream_next",
     [](Arguments &a) {
         return make<waldo_chunk>("chunk", a, waldo_stream_next, stream(a), timeout(a));
     }},
    {"stream_next_async", SUBMIT(waldo_stream_next_async, stream(a))},
    {"stream_position", VALUE(waldo_stream_position(stream(a)))},
    {"stream_seek", CALL(waldo_stream_seek, stream(a), seq_no(a))},
    {"stream_release", silent([](Arguments &a) { waldo_stream_release(stream(a)); })},
    {"stream_read", stream_read},
    {"chunk_count", VALUE(waldo_chunk_count(chunk(a)))},
    {"chunk_logs",
     [](Arguments &a) {
         const auto logs = logs_of(chunk(a), a.number<std::size_t>("first"),
                                   a.number<std::size_t>("capacity"));
         return Outputs{{"count", text_of(logs.size())}, {"logs", format_logs(logs)}};
     }},
    {"chunk_data", chunk_data},
    {"chunk_retain", silent([](Arguments &a) { waldo_chunk_retain(chunk(a)); })},
    {"chunk_release", silent([](Arguments &a) { waldo_chunk_release(chunk(a)); })},
};

bool holds(const std::string &key, const std::string &actual, char comparison,
           const std::string &wanted)
{
    if (comparison == '>')
        return std::stoll(actual) > std::stoll(wanted);
    if (comparison == '~')
        return actual.find(wanted) != std::string::npos;
    return actual == (key == "logs" ? format_logs(parse_logs(wanted)) : wanted);
}

void compare(const Outputs &found, std::istream &expected)
{
    bool has_status = false;
    for (std::string word; expected >> word;) {
        if (word.rfind("WALDO_", 0) == 0) {
            has_status = true;
            word = "status=" + word;
        }
        const auto at = word.find_first_of("=>~");
        if (at == std::string::npos)
            throw Wrong{"cannot be compared: " + word};
        const auto key = word.substr(0, at);
        const auto output = found.find(key);
        if (output == found.end())
            throw Wrong{"there is no output " + key};
        if (!holds(key, output->second, word[at], word.substr(at + 1)))
            throw Wrong{key + " is " + output->second + ", not " + word.substr(at)};
    }
    if (found.count("status") != 0 && !has_status)
        throw Wrong{"the step does not say which status it expects"};
}

void step(const std::string &line)
{
    const auto arrow = std::min(line.find("=>"), line.size());
    std::istringstream words{line.substr(0, arrow)};
    std::istringstream expected{line.substr(std::min(arrow + 2, line.size()))};
    std::string verb;
    words >> verb;
    const auto found = verbs.find(verb);
    if (found == verbs.end())
        throw Wrong{"there is no verb " + verb};
    Arguments a{words};
    const auto outputs = found->second(a);
    a.check(verb);
    compare(outputs, expected);
}

/// Carries out a script; answers how many steps it has.
std::size_t run(const char *script)
{
    std::ifstream file{script};
    if (!file)
        throw std::runtime_error{std::string{script} + " cannot be read"};
    handles.clear();
    queues.clear();
    std::size_t steps = 0, at = 0;
    for (std::string line; std::getline(file, line);) {
        at++;
        if (line.empty() || line[0] == '#')
            continue;
        try {
            step(line);
        } catch (const Wrong &wrong) {
            throw std::runtime_error{script + (':' + text_of(at)) + ": " + line + "\n    " +
                                     wrong.what()};
        }
        steps++;
    }
    return steps;
}

} // namespace

int main(int argc, char **argv)
{
    try {
        std::size_t steps = 0;
        for (int i = 1; i < argc; i++)
            steps += run(argv[i]);
        std::cout << steps << '\n';
    } catch (const std::exception &failure) {
        std::cerr << failure.what() << '\n';
        return 1;
    }
}
