/* The header alone, and twice. */
#include "waldo.h"
#include "waldo.h"

static waldo_status check(void)
{
    waldo_error error;
    uint32_t flags = WALDO_APPEND_ASSIGN | WALDO_APPEND_DURABLE;
    waldo_status status = waldo_append(NULL, NULL, 0, flags, NULL, &error);
    return status == WALDO_INVALID_ARGUMENT ? WALDO_OK : WALDO_PANIC;
}

int main(void)
{
    return check() == WALDO_OK ? 0 : 1;
}
