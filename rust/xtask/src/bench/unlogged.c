/* Preloaded, a system log that costs nothing. */

#include <syslog.h>

void syslog(int priority, const char *format, ...)
{
    (void)priority;
    (void)format;
}

/* What syslog is with _FORTIFY_SOURCE. */
void __syslog_chk(int priority, int flag, const char *format, ...)
{
    (void)priority;
    (void)flag;
    (void)format;
}
