// Landlock and seccomp, by the kernel's own interface: the headers of older systems lack half of it.
#include "sandbox.h"
#include "mem.h"
#include "sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

// ---- files: Landlock

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

struct ruleset {
    uint64_t files, net, scoped;
};
struct __attribute__((packed)) beneath {
    uint64_t allowed;
    int32_t parent;
};
enum { RULE_BENEATH = 1, ASK_VERSION = 1 };
enum { READ_FILE = 1 << 2, READ_FOLDER = 1 << 3, FOLDER_ONLY = 0x3ff8 }; // FOLDER_ONLY: rights that a file cannot have

static long landlock_version(void) { return syscall(SYS_landlock_create_ruleset, NULL, 0, ASK_VERSION); }

// All that this kernel can refuse; what it does not know must not be named.
static uint64_t all_file_rights(long version) {
    static const int bits[] = {0, 13, 14, 15, 15, 16}; // by version
    return (1ull << bits[version < 5 ? version : 5]) - 1;
}

static int allow_beneath(int ruleset, const char *path, uint64_t rights) {
    struct stat info;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT ? 0 : -1;
    if (fstat(fd, &info) == 0 && !S_ISDIR(info.st_mode)) rights &= ~(uint64_t)FOLDER_ONLY;
    struct beneath rule = {rights, fd};
    int status = (int)syscall(SYS_landlock_add_rule, ruleset, RULE_BENEATH, &rule, 0);
    close(fd);
    return status;
}

static int restrict_files(const struct sandbox *s) {
    long version = landlock_version();
    struct ruleset all = {all_file_rights(version), version >= 4 ? 3 : 0, version >= 6 ? 3 : 0};
    size_t size = version >= 6 ? 24 : version >= 4 ? 16 : 8;
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, size, 0);
    if (ruleset < 0) return sys_fail("Landlock: %s", strerror(errno));
    int status = 0;
    for (const char *const *path = s->readable; status == 0 && *path; path++)
        status = allow_beneath(ruleset, *path, READ_FILE | READ_FOLDER);
    if (status == 0) status = allow_beneath(ruleset, s->writable, all.files & ~1ull); // nothing in it can be run
    if (status == 0) status = (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
    int error = errno;
    close(ruleset);
    return status == 0 ? 0 : sys_fail("Landlock: %s", strerror(error));
}

// ---- system calls: seccomp

// What a lesson's code and the C library under it need. The rest fails with EPERM: sockets, other programs, processes and
// threads, signals to others, rights and owners of files, mounts, and whatever kernels will bring.
static const unsigned short allowed[] = {
#ifdef __x86_64__
    SYS_access, SYS_stat, SYS_lstat, SYS_readlink, SYS_mkdir, SYS_rmdir, SYS_unlink, SYS_rename, SYS_poll, SYS_dup2, SYS_time,
    SYS_getdents,
#endif
    SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_lseek, SYS_close, SYS_fstat, SYS_newfstatat,
    SYS_statx, SYS_faccessat, SYS_readlinkat, SYS_getcwd, SYS_mkdirat, SYS_unlinkat, SYS_renameat, SYS_renameat2,
    SYS_ftruncate, SYS_fsync, SYS_fdatasync, SYS_getdents64, SYS_dup, SYS_dup3, SYS_umask, SYS_mmap, SYS_munmap,
    SYS_mremap, SYS_mprotect, SYS_madvise, SYS_brk, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sigaltstack,
    SYS_setitimer, SYS_getitimer, SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday,
    SYS_times, SYS_getrusage, SYS_getpid, SYS_gettid, SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_uname,
    SYS_sysinfo, SYS_futex, SYS_sched_yield, SYS_sched_getaffinity, SYS_ppoll, SYS_sendmsg, SYS_recvmsg, SYS_getrandom,
    SYS_exit, SYS_exit_group, SYS_restart_syscall};

enum { ALLOWED = sizeof allowed / sizeof *allowed };

#if defined __x86_64__
enum { HAS_SECCOMP = 1 };
static const unsigned ARCHITECTURE = AUDIT_ARCH_X86_64;
#elif defined __aarch64__
enum { HAS_SECCOMP = 1 };
static const unsigned ARCHITECTURE = AUDIT_ARCH_AARCH64;
#else
enum { HAS_SECCOMP = 0 };
static const unsigned ARCHITECTURE = 0;
#endif

#define FIELD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ARGUMENT(n) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[n])) // its lower half: little-endian
#define EQUAL(value, then, otherwise) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (then), (otherwise))
#define GIVE(action) BPF_STMT(BPF_RET | BPF_K, (action))

// openat is looked at: to empty a file by opening it for reading is something that old Landlocks do not see. tgkill is what
// abort() needs: to this process only. Of fcntl those that the C library uses: others have the kernel send signals to anybody
// (F_SETOWN with F_SETSIG).
static int restrict_calls(void) {
    struct sock_filter filter[ALLOWED + 32] = {
        FIELD(arch), EQUAL(ARCHITECTURE, 1, 0), GIVE(SECCOMP_RET_KILL_PROCESS),
        FIELD(nr), EQUAL(SYS_openat, 0, 5),
        ARGUMENT(2), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, O_TRUNC | O_ACCMODE), EQUAL(O_TRUNC | O_RDONLY, 1, 0),
        GIVE(SECCOMP_RET_ALLOW), GIVE(SECCOMP_RET_ERRNO | EPERM),
        EQUAL(SYS_tgkill, 0, 4),
        ARGUMENT(0), EQUAL((unsigned)getpid(), 0, 1),
        GIVE(SECCOMP_RET_ALLOW), GIVE(SECCOMP_RET_ERRNO | EPERM),
        EQUAL(SYS_fcntl, 0, 5),
        ARGUMENT(1), EQUAL(F_DUPFD_CLOEXEC, 1, 0), BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, F_SETFL, 1, 0),
        GIVE(SECCOMP_RET_ALLOW), GIVE(SECCOMP_RET_ERRNO | EPERM)};
    unsigned short n = 21;
    for (int i = 0; i < ALLOWED; i++)
        filter[n++] = (struct sock_filter)EQUAL(allowed[i], (uint8_t)(ALLOWED - i), 0);
    filter[n++] = (struct sock_filter)GIVE(SECCOMP_RET_ERRNO | EPERM);
    filter[n++] = (struct sock_filter)GIVE(SECCOMP_RET_ALLOW);
    struct sock_fprog program = {n, filter};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0) return 0;
    return sys_fail("seccomp: %s", strerror(errno));
}

static bool has_limits(void) {
    struct rlimit as_it_is;
    return getrlimit(RLIMIT_CORE, &as_it_is) == 0 && setrlimit(RLIMIT_CORE, &as_it_is) == 0;
}

int sandbox_check(void) {
    uint32_t action = SECCOMP_RET_KILL_PROCESS;
    if (landlock_version() < 1)
        return sys_fail("this kernel offers no Landlock (Linux 5.13 and later do, where it is switched on)");
    if (!HAS_SECCOMP || syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) != 0)
        return sys_fail("this kernel offers no seccomp");
    if (!has_limits()) return sys_fail("this system sets no limits to a process (setrlimit)");
    return 0;
}

// ---- what it may use

// What it says is for nobody, and not for the terminal of whoever grades.
static void open_nothing(int count) {
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < count; fd++) dup2(nothing, fd);
    if (nothing >= count) close(nothing);
}

// Should memory run out, the kernel ends this process before any other.
static void be_the_first_to_go(void) {
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    ssize_t written = fd < 0 ? -1 : write(fd, "1000", 4);
    (void)written; // without /proc it is as before
    if (fd >= 0) close(fd);
}

static int limit(int what, rlim_t most) {
    struct rlimit both = {most, most};
    return setrlimit(what, &both);
}

int sandbox_enter(const struct sandbox *s) {
    if (sandbox_check() != 0) return -1;
    if (chdir(s->writable) != 0) return sys_fail("%s: %s", s->writable, strerror(errno));
    signal(SIGXFSZ, SIG_IGN); // a file too long is an error to the writer
    signal(SIGPIPE, SIG_IGN);
    open_nothing(3);
    be_the_first_to_go();
    if (limit(RLIMIT_AS, s->memory) != 0 || limit(RLIMIT_CPU, s->seconds) != 0 || limit(RLIMIT_FSIZE, s->file_bytes) != 0 ||
        limit(RLIMIT_NOFILE, 64) != 0 || limit(RLIMIT_CORE, 0) != 0)
        return sys_fail("limits: %s", strerror(errno));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return sys_fail("no_new_privs: %s", strerror(errno));
    return restrict_files(s) == 0 ? restrict_calls() : -1;
}

// ---- processes

static bool is_kept(int fd, const int keep[]) {
    for (; *keep >= 0; keep++)
        if (*keep == fd) return true;
    return false;
}

static void close_others(const int keep[]) {
    enum { USUAL = 4096 };
    for (int fd = 3; fd < USUAL; fd++)
        if (!is_kept(fd, keep)) close(fd);
    syscall(SYS_close_range, USUAL, ~0u, 0); // as old as Landlock
}

pid_t sandbox_fork(const int keep[]) {
    pid_t parent = getpid(), child = fork();
    if (child < 0) return sys_fail("fork: %s", strerror(errno));
    if (child > 0) return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1); // it died meanwhile
    setsid();
    open_nothing(2);
    close_others(keep);
    return 0;
}

static bool is_ours(const char *variable) {
    static const char *const begins[] = {"PATH=", "LANG=", "LC_", "TZ=", "LUA_PATH", "LUA_CPATH", "GIEMSA_", "OPENBLAS_NUM_THREADS="};
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (strncmp(variable, begins[i], strlen(begins[i])) == 0) return true;
    return false;
}

int sandbox_exec(char *const argv[], int fd) {
    char **from = environ, **to = environ;
    for (; *from; from++)
        if (is_ours(*from)) *to++ = *from;
    *to = NULL;
    if (fd != 3) dup2(fd, 3);
    fcntl(3, F_SETFD, 0);
    execv(argv[0], argv);
    return sys_fail("cannot run %s: %s", argv[0], strerror(errno));
}

// FTW_CHDIR: whoever filled the folder may have made paths that are too long to be named.
static _Thread_local size_t used_bytes, used_entries;

// FTW_NS: it was removed meanwhile.
static int add_entry(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)path, (void)where;
    if (kind != FTW_NS) used_bytes += (size_t)info->st_blocks * 512;
    used_entries++;
    return 0;
}

int sandbox_usage(const char *folder, size_t *bytes, size_t *entries) {
    used_bytes = used_entries = 0;
    int status = nftw(folder, add_entry, 16, FTW_PHYS | FTW_CHDIR);
    *bytes = used_bytes, *entries = used_entries;
    return status == 0 ? 0 : sys_fail("%s: %s", folder, strerror(errno));
}

// ---- scratch folders, and files of unknown origin

int sandbox_make_scratch(char path[SCRATCH_PATH]) {
    const char *where = getenv("TMPDIR");
    if (!where || where[0] != '/') where = "/tmp";
    if (snprintf(path, SCRATCH_PATH, "%s/giemsa-XXXXXX", where) >= SCRATCH_PATH) return sys_fail("TMPDIR is too long");
    return mkdtemp(path) ? 0 : sys_fail("cannot make a folder in %s: %s", where, strerror(errno));
}

// Calls f for each name in a folder but "." and "..".
static int each_name(int folder, int (*f)(int folder, const char *name, int top), int top) {
    int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), status = 0;
    DIR *names = copy < 0 ? NULL : fdopendir(copy);
    if (!names) return -1;
    for (struct dirent *one; status == 0 && (one = readdir(names));)
        if (strcmp(one->d_name, ".") != 0 && strcmp(one->d_name, "..") != 0) status = f(folder, one->d_name, top);
    closedir(names);
    return status;
}

static int move_up(int folder, const char *name, int top) {
    static unsigned count;
    char fresh[32];
    snprintf(fresh, sizeof fresh, "giemsa-moved-%u", count++);
    if (unlinkat(folder, name, 0) == 0 || unlinkat(folder, name, AT_REMOVEDIR) == 0) return 0;
    return renameat2(folder, name, top, fresh, RENAME_NOREPLACE) == 0 || errno == EEXIST ? 0 : -1;
}

// A folder in a folder is emptied into the top one, so that no depth is too deep.
static int remove_one(int folder, const char *name, int top) {
    if (unlinkat(folder, name, 0) == 0 || unlinkat(folder, name, AT_REMOVEDIR) == 0) return 0;
    fchmodat(folder, name, 0700, 0);
    int inner = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (inner < 0) return -1;
    int status = each_name(inner, move_up, top);
    close(inner);
    return status;
}

int sandbox_remove_tree(const char *folder) {
    int top = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), status = top < 0 ? -1 : 0;
    while (status == 0 && rmdir(folder) != 0) {
        if (errno != ENOTEMPTY && errno != EEXIST) break;
        status = each_name(top, remove_one, top);
    }
    int error = errno;
    if (top >= 0) close(top);
    return access(folder, F_OK) != 0 ? 0 : sys_fail("cannot remove %s: %s", folder, strerror(error));
}

char *sandbox_read_file(const char *path, size_t *size, size_t most) {
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) return sys_fail("%s", errno == ELOOP ? "it is a link" : strerror(errno)), NULL;
    struct stat info;
    char *bytes = NULL;
    if (fstat(fd, &info) != 0) sys_fail("%s", strerror(errno));
    else if (S_ISDIR(info.st_mode)) sys_fail("it is a folder");
    else if (!S_ISREG(info.st_mode)) sys_fail("it is no ordinary file");
    else if ((size_t)info.st_size > most) sys_fail("it is too long (%lld bytes)", (long long)info.st_size);
    else if (!(bytes = mem_alloc((size_t)info.st_size + 1))) sys_fail("out of memory");
    ssize_t n = 0;
    for (*size = 0; bytes && *size < (size_t)info.st_size && (n = read(fd, bytes + *size, (size_t)info.st_size - *size)) > 0;)
        *size += (size_t)n;
    close(fd);
    return bytes;
}
