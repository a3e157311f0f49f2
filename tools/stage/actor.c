// A program that does what it is told, under any name: its script is the environment variable ACT, one step a line, words
// parted by tabs. A program that it starts gets ACT1 as its ACT, ACT2 as its ACT1, and so on. Used by tests and benchmarks to
// perform real actions; a step that fails is told on standard error and does not stop the rest (`must` before a step does).
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char *w[64];
static int n;

static const char *word(int i) { return i < n ? w[i] : ""; }
static long number(int i) { return strtol(word(i), NULL, 0); }

static int flags_of(const char *how) {
    int flags = 0, read = 0, write = 0;
    for (; *how; how++) switch (*how) {
        case 'r': read = 1; break;
        case 'w': write = 1; break;
        case 'c': flags |= O_CREAT; write = 1; break;
        case 't': flags |= O_TRUNC; break;
        case 'a': flags |= O_APPEND; write = 1; break;
        case 'x': flags |= O_EXCL; break;
        case 'd': flags |= O_DIRECTORY; break;
        case 'p': flags |= O_PATH; break;
        case 'n': flags |= O_NONBLOCK; break;
    }
    return flags | (read && write ? O_RDWR : write ? O_WRONLY : O_RDONLY);
}

// Fills in an address: a path of a Unix socket, or an IPv4 or IPv6 address and a port.
static socklen_t address(struct sockaddr_storage *out, const char *host, int port) {
    memset(out, 0, sizeof *out);
    struct sockaddr_in *four = (void *)out;
    struct sockaddr_in6 *six = (void *)out;
    struct sockaddr_un *un = (void *)out;
    if (host[0] == '/') {
        un->sun_family = AF_UNIX;
        strncpy(un->sun_path, host, sizeof un->sun_path - 1);
        return sizeof *un;
    }
    if (inet_pton(AF_INET6, host, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        return sizeof *six;
    }
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    inet_pton(AF_INET, host, &four->sin_addr);
    return sizeof *four;
}

static int open_socket(const struct sockaddr_storage *to, const char *sort) {
    return socket(to->ss_family, (*sort == 'u' ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC * (*sort == 'e'), 0);
}

static int connected(const char *host, int port, const char *sort) {
    struct sockaddr_storage to;
    socklen_t size = address(&to, host, port);
    int fd = open_socket(&to, sort);
    if (fd >= 0 && connect(fd, (void *)&to, size) < 0 && errno != EINPROGRESS) {
        int kept = errno;
        close(fd);
        errno = kept;
        return -1;
    }
    return fd;
}

// Listens, connects to itself from a child, accepts, and says how that went.
static int accepted(const char *host, int port) {
    struct sockaddr_storage at;
    socklen_t size = address(&at, host, port);
    int one = 1, fd = open_socket(&at, "tcp");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (void *)&at, size) < 0 || listen(fd, 4) < 0) return -1;
    pid_t child = fork();
    if (!child) {
        int to = connected(host, port, "tcp");
        _exit(to < 0);
    }
    int got = accept(fd, NULL, NULL);
    waitpid(child, NULL, 0);
    return got;
}

static void shift_scripts(void) {
    char from[16], to[16] = "ACT";
    for (int i = 1; i < 16; i++) {
        snprintf(from, sizeof from, "ACT%d", i);
        const char *next = getenv(from);
        if (next) setenv(to, next, 1);
        else unsetenv(to);
        strcpy(to, from);
        if (!next) break;
    }
}

static int become(int first) {
    char *args[64];
    int count = 0;
    for (int i = first + 1; i < n && count < 63; i++) args[count++] = w[i];
    args[count] = NULL;
    shift_scripts();
    return execve(w[first], args, environ);
}

static int started(int first, int wait) {
    pid_t child = fork();
    if (child == 0) {
        become(first);
        perror(word(first));
        _exit(127);
    }
    int status = 0;
    if (child < 0 || (wait && waitpid(child, &status, 0) < 0)) return -1;
    return 0;
}

static int copied(const char *from, int out) {
    char block[65536];
    ssize_t got;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0) return -1;
    while ((got = read(in, block, sizeof block)) > 0)
        if (write(out, block, got) != got) return -1;
    return close(in);
}

static int from_memory(const char *name) {
    int fd = syscall(SYS_memfd_create, name, MFD_CLOEXEC);
    if (fd < 0 || copied("/proc/self/exe", fd) < 0) return -1;
    char *args[] = {(char *)name, NULL};
    shift_scripts();
    return syscall(SYS_execveat, fd, "", args, environ, AT_EMPTY_PATH);
}

static int mapped(int first, int then) {
    void *at = mmap(NULL, 4096, first, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? -1 : then ? mprotect(at, 4096, then) : 0;
}

static int small_program(void) {
    struct bpf_insn code[] = {{.code = 0xb7}, {.code = 0x95}};
    union bpf_attr attr = {0};
    attr.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
    attr.insns = (unsigned long)code;
    attr.insn_cnt = 2;
    attr.license = (unsigned long)"GPL";
    return syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
}

// Traces a child that waits, in the way asked for.
static int traced(const char *how) {
    if (!strcmp(how, "traceme")) return ptrace(PTRACE_TRACEME, 0, 0, 0);
    pid_t child = fork();
    if (!child) for (;;) pause();
    static char here[8], there[8];
    struct iovec mine = {here, 8}, its = {there, 8};
    int failed = !strcmp(how, "vm") ? syscall(SYS_process_vm_writev, child, &mine, 1, &its, 1, 0) < 0
               : ptrace(!strcmp(how, "seize") ? PTRACE_SEIZE : PTRACE_ATTACH, child, 0, 0) < 0;
    if (!strcmp(how, "poke")) {
        waitpid(child, NULL, 0);
        failed = ptrace(PTRACE_POKETEXT, child, here, 0) < 0;
    }
    int kept = errno;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    errno = kept;
    return -failed;
}

static int terminal(void) { // a terminal of its own, as its controlling one and its standard input
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0) return -1;
    char *name = ptsname(master);
    setsid();
    int slave = open(name, O_RDWR);
    if (slave < 0) return -1;
    ioctl(slave, TIOCSCTTY, 0);
    return dup2(slave, 0);
}

// Gives the loopback device of this network namespace another address, and wakes it.
static int addressed(const char *host) {
    static int next;
    struct ifreq up = {.ifr_name = "lo"}, alias = {0};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    up.ifr_flags = IFF_UP | IFF_LOOPBACK;
    snprintf(alias.ifr_name, sizeof alias.ifr_name, "lo:%d", ++next);
    struct sockaddr_in *four = (void *)&alias.ifr_addr;
    four->sin_family = AF_INET;
    inet_pton(AF_INET, host, &four->sin_addr);
    int failed = ioctl(fd, SIOCSIFFLAGS, &up) < 0 || ioctl(fd, SIOCSIFADDR, &alias) < 0;
    close(fd);
    return -failed;
}

static int wrote(const char *path, const char *what, int flags) {
    int fd = open(path, flags, 0644);
    if (fd < 0) return -1;
    ssize_t size = strlen(what), done = write(fd, what, size);
    close(fd);
    return done == size ? 0 : -1;
}

static int sent(const char *host, int port, const char *what, const char *how) {
    struct sockaddr_storage to;
    socklen_t size = address(&to, host, port);
    int fd = open_socket(&to, "udp");
    if (!strcmp(how, "msg")) {
        struct iovec part = {(void *)what, strlen(what)};
        struct msghdr message = {.msg_name = &to, .msg_namelen = size, .msg_iov = &part, .msg_iovlen = 1};
        return sendmsg(fd, &message, 0);
    }
    return sendto(fd, what, strlen(what), 0, (void *)&to, size);
}

static long step(void) {
    const char *verb = word(0);
#define DO(name) if (!strcmp(verb, name))
    DO("sleep") return usleep(number(1) * 1000);
    DO("exit") exit(number(1));
    DO("abort") abort();
    DO("say") return printf("%s\n", word(1)), fflush(stdout);
    DO("await") { // until a line comes on standard input
        char one;
        while (read(0, &one, 1) == 1) if (one == '\n') return 0;
        return -1;
    }
    DO("open") { int fd = open(word(1), flags_of(n > 2 ? word(2) : "r"), n > 3 ? number(3) : 0644); return fd < 0 ? fd : close(fd); }
    DO("openat") { int d = open(word(1), O_DIRECTORY | O_RDONLY); int fd = openat(d, word(2), flags_of(n > 3 ? word(3) : "r"), 0644); return fd; }
    DO("keep") return open(word(1), flags_of(n > 2 ? word(2) : "r"), 0644);
    DO("read") { char b[256]; int fd = open(word(1), O_RDONLY); long got = fd < 0 ? -1 : read(fd, b, sizeof b); close(fd); return got; }
    DO("write") return wrote(word(1), word(2), O_WRONLY | O_CREAT | O_TRUNC);
    DO("append") return wrote(word(1), word(2), O_WRONLY | O_APPEND);
    DO("set") return wrote(word(1), word(2), O_WRONLY);
    DO("say-to") return write(number(1), word(2), strlen(word(2)));
    DO("copy") { int out = open(word(2), O_WRONLY | O_CREAT | O_TRUNC, n > 3 ? number(3) : 0755); long r = out < 0 ? -1 : copied(word(1), out); close(out); return r; }
    DO("mkdir") return mkdir(word(1), 0755);
    DO("mkdirat") return mkdirat(AT_FDCWD, word(1), 0755);
    DO("rmdir") return rmdir(word(1));
    DO("unlink") return unlink(word(1));
    DO("unlinkat") return unlinkat(AT_FDCWD, word(1), 0);
    DO("rename") return rename(word(1), word(2));
    DO("renameat") return renameat(AT_FDCWD, word(1), AT_FDCWD, word(2));
    DO("renameat2") return syscall(SYS_renameat2, AT_FDCWD, word(1), AT_FDCWD, word(2), 0);
    DO("symlink") return symlink(word(1), word(2));
    DO("symlinkat") return symlinkat(word(1), AT_FDCWD, word(2));
    DO("link") return link(word(1), word(2));
    DO("linkat") return linkat(AT_FDCWD, word(1), AT_FDCWD, word(2), 0);
    DO("chmod") return chmod(word(1), number(2));
    DO("fchmodat") return fchmodat(AT_FDCWD, word(1), number(2), 0);
    DO("fchmod") { int fd = open(word(1), O_RDONLY); return fchmod(fd, number(2)); }
    DO("chown") return chown(word(1), number(2), number(3));
    DO("truncate") return truncate(word(1), number(2));
    DO("mknod") return mknod(word(1), number(2), number(3));
    DO("chdir") return chdir(word(1));
    DO("chroot") return chroot(word(1)) || chdir("/");
    DO("pivot") return mount(word(1), word(1), NULL, MS_BIND | MS_REC, NULL) || chdir(word(1)) || syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/") ? -1 : 0;
    DO("mount") return mount(word(1), word(2), word(3), number(4), n > 5 ? word(5) : NULL);
    DO("umount") return umount2(word(1), number(2));
    DO("unshare") return unshare(number(1));
    DO("setns") { int fd = open(word(1), O_RDONLY | O_CLOEXEC); return setns(fd, number(2)); }
    DO("fork") { // the rest is done by a child, the first of a new pid namespace after `unshare`; this one ends as it does
        pid_t child = fork();
        int status = 0;
        if (child <= 0) return child;
        waitpid(child, &status, 0);
        exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
    DO("leave") { // the rest is done by a child that nobody waits for
        pid_t child = fork();
        if (child > 0) exit(0);
        return child;
    }
    DO("exec") return become(1);
    DO("run") return started(1, 1);
    DO("start") return started(1, 0);
    DO("wait") { while (wait(NULL) > 0) {} return 0; }
    DO("memfd") return from_memory(word(1));
    DO("socket") return socket(number(1), number(2), number(3));
    DO("connect") return connected(word(1), number(2), n > 3 ? word(3) : "tcp");
    DO("bind") { struct sockaddr_storage at; socklen_t size = address(&at, word(1), number(2)); return bind(open_socket(&at, n > 3 ? word(3) : "tcp"), (void *)&at, size); }
    DO("listen") { struct sockaddr_storage at; socklen_t size = address(&at, word(1), number(2)); int fd = open_socket(&at, "tcp"), one = 1; setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one); return bind(fd, (void *)&at, size) || listen(fd, 4); }
    DO("accept") return accepted(word(1), number(2));
    DO("sendto") return sent(word(1), number(2), word(3), "to");
    DO("sendmsg") return sent(word(1), number(2), word(3), "msg");
    DO("send") { int fd = connected(word(1), number(2), "tcp"); return fd < 0 ? -1 : send(fd, word(3), strlen(word(3)), 0); }
    DO("address") return addressed(word(1));
    DO("dup2") return dup2(number(1), number(2));
    DO("dup3") return dup3(number(1), number(2), 0);
    DO("dup") return dup(number(1));
    DO("close") return close(number(1));
    DO("setuid") return setuid(number(1));
    DO("setgid") return setgid(number(1));
    DO("setresuid") return setresuid(number(1), number(2), number(3));
    DO("setgroups") return setgroups(0, NULL);
    DO("setsid") return setsid();
    DO("setpgid") return setpgid(0, 0);
    DO("tty") return terminal();
    DO("name") return prctl(PR_SET_NAME, word(1));
    DO("dropcap") return prctl(PR_CAPBSET_DROP, number(1), 0, 0, 0);
    DO("ptrace") return traced(word(1));
    DO("bpf") return small_program();
    DO("mmap") return mapped(number(1), n > 2 ? number(2) : 0);
    DO("kill") return kill(number(1), number(2));
    DO("raise") return raise(number(1));
    DO("eat") { // so many MiB
        for (long i = number(1); i > 0; i--) { char *at = malloc(1 << 20); if (!at) return -1; memset(at, 1, 1 << 20); }
        return 0;
    }
    DO("setenv") return setenv(word(1), word(2), 1);
    DO("call") return syscall(number(1), n > 2 ? number(2) : 0, number(3), number(4), number(5), number(6), number(7));
    DO("call-with-text") return syscall(number(1), word(2), number(3), number(4), number(5), number(6), number(7));
    DO("repeat") { // repeat COUNT read-write: the worst case for a watcher of system calls
        int in = open("/dev/zero", O_RDONLY), out = open("/dev/null", O_WRONLY);
        char one;
        for (long i = number(1); i > 0; i--) if (read(in, &one, 1) != 1 || write(out, &one, 1) != 1) return -1;
        return 0;
    }
    DO("forks") { // forks COUNT PATH: so many short processes
        for (long i = number(1); i > 0; i--) {
            pid_t child = vfork();
            if (!child) { char *args[] = {w[2], NULL}; char *none[] = {NULL}; execve(w[2], args, none); _exit(127); }
            waitpid(child, NULL, 0);
        }
        return 0;
    }
    DO("deep") { // deep COUNT: each the child of the one before
        for (long i = number(1); i > 0; i--) { pid_t child = fork(); if (child) { waitpid(child, NULL, 0); _exit(0); } }
        return 0;
    }
    errno = EINVAL;
    return -1;
}

int main(void) {
    char *script = getenv("ACT");
    script = script ? strdup(script) : "";
    char *line_at = NULL;
    for (char *line = strtok_r(script, "\n", &line_at); line; line = strtok_r(NULL, "\n", &line_at)) {
        char *rest = line;
        n = 0;
        while (rest && n < 63) w[n++] = strsep(&rest, "\t");
        w[n] = NULL;
        int must = !strcmp(w[0], "must");
        if (must) { memmove(w, w + 1, n * sizeof *w); n--; }
        errno = 0;
        if (step() < 0) {
            fprintf(stderr, "%s %s: %s\n", word(0), word(1), strerror(errno));
            if (must) return 1;
        }
    }
    return 0;
}
