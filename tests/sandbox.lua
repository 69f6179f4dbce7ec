--- The enclosed process itself (core/sandbox.c), asked by raw system calls: whatever a submission's code could reach if it broke
-- out of Lua, the kernel still refuses.
local t = require "tests.harness"
local core = require "giemsa.core"

local folder = t.tmpdir()
local EPERM = 1

local function need_sandbox()
  if t.is_slow then t.skip("limits on memory do not fit here") end
  local ok, why = core.sandbox_check()
  if not ok then t.skip(why) end
end

-- Refused with EPERM whatever their arguments: processes, signals, other processes' memory, sockets, programs, rights, and what
-- kernels brought later. Numbers come from this machine's headers.
local REFUSED = [[
socket socketpair connect bind listen accept4 sendto recvfrom execve execveat fork clone clone3 ptrace process_vm_readv
process_vm_writev kill tkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_open pidfd_send_signal pidfd_getfd memfd_create memfd_secret
io_uring_setup io_uring_enter io_setup keyctl add_key request_key bpf perf_event_open userfaultfd mount umount2 unshare setns chroot
pivot_root setrlimit prlimit64 setsid setpgid setuid setgid setresuid setgroups capset prctl seccomp personality symlinkat linkat
mknodat fchmod fchmodat fchown fchownat utimensat setxattr openat2 open_by_handle_at name_to_handle_at inotify_init1 fanotify_init
shmget shmat msgget semget mq_open process_madvise ioctl truncate fallocate flock splice sendfile copy_file_range vmsplice tee
timer_create timerfd_create signalfd4 eventfd2 epoll_create1 setpriority sched_setaffinity sched_setscheduler ioprio_set
landlock_create_ruleset landlock_add_rule landlock_restrict_self quotactl swapon reboot init_module kexec_load settimeofday
clock_settime adjtimex sethostname acct syslog chdir fchdir open creat link symlink chmod chown mknod pipe pipe2 vfork alarm pause]]
local ALLOWED = "getpid getuid openat fcntl tgkill read close"

-- Numbers of system calls by name, those that this machine has.
local function numbers()
  local lines = { "#include <sys/syscall.h>" }
  for name in (REFUSED .. " " .. ALLOWED):gmatch "%S+" do
    lines[#lines + 1] = ("#ifdef __NR_%s\n@ %s __NR_%s\n#endif"):format(name, name .. "_", name)
  end
  local source = t.write(folder .. "/numbers.c", table.concat(lines, "\n") .. "\n")
  local text, code = t.shell("cc -E -P " .. source)
  if code ~= 0 then t.skip "no compiler here" end
  local found = {}
  for name, number in text:gmatch "@ ([%w_]+)_ (%d+)" do found[name] = tonumber(number) end
  return found
end

local function raw_call()
  local library = folder .. "/raw.so"
  local output, code = t.shell(("cc -shared -fPIC -o %s tests/made/raw.c"):format(library))
  if code ~= 0 then t.skip("no compiler here: " .. output) end
  return assert(package.loadlib(library, "giemsa_raw"))
end

-- Runs f in an enclosed child and gives back the text that it returns; looks at the child before it ends.
local function enclosed(f, look)
  core.threads(1)
  local ours, theirs = core.socket_pair()
  local scratch = assert(core.make_scratch())
  local pid = assert(core.fork(theirs))
  if pid == 0 then
    local ok, answer = core.sandbox_enter({ "/usr/lib", "/lib", "/dev/null" }, scratch, 1 << 30, 1 << 20, 20)
    if ok then ok, answer = pcall(f, theirs) end
    core.send_message(theirs, tostring(answer), 5)
    core.receive_message(theirs, 5, 10) -- until it has been looked at
    core.exit_now(0)
  end
  core.close_fd(theirs)
  local answer, why = core.receive_message(ours, 20, 1 << 20)
  local seen = look and look(pid)
  core.kill_session(pid)
  core.wait_child(pid)
  core.close_fd(ours)
  core.remove_tree(scratch)
  return answer or why, seen
end

t.test("system calls that a lesson has no use for are refused", function()
  need_sandbox()
  local number, raw = numbers(), raw_call()
  local count = 0
  local answer = enclosed(function()
    local wrong = {}
    for name in REFUSED:gmatch "%S+" do
      local n = number[name]
      local got = n and raw(n)
      if got == 0 and name:find "fork" or got == 0 and name:find "clone" then core.exit_now(0) end
      if n and got ~= -EPERM then wrong[#wrong + 1] = name .. ": " .. got end
    end
    if raw(number.getpid) <= 0 then wrong[#wrong + 1] = "getpid" end
    return table.concat(wrong, ", ")
  end)
  for name in REFUSED:gmatch "%S+" do count = count + (number[name] and 1 or 0) end
  t.equal(answer, "")
  t.ok(count > 90, count)
end)

t.test("of system calls that it needs, those that reach others are refused", function()
  need_sandbox()
  local number, raw = numbers(), raw_call()
  local parent = tonumber((t.shell "echo $PPID"))
  local F_GETFL, F_SETOWN, F_SETSIG, F_SETLEASE, F_NOTIFY, F_SETPIPE_SZ, F_DUPFD_CLOEXEC, X32 = 3, 8, 10, 1024, 1026, 1031, 1030, 1 << 30
  local answer = enclosed(function(fd)
    local wrong = {}
    local function refused(what, got) if got ~= -EPERM then wrong[#wrong + 1] = what .. ": " .. got end end
    for _, command in ipairs { F_SETOWN, F_SETSIG, 15, F_SETLEASE, F_NOTIFY, F_SETPIPE_SZ } do
      refused("fcntl " .. command, raw(number.fcntl, fd, command, parent))
    end
    refused("tgkill of another", raw(number.tgkill, parent, parent, 0))
    if number.open then refused("x32", raw(number.getpid | X32)) end
    if raw(number.fcntl, fd, F_GETFL) < 0 or raw(number.fcntl, fd, F_DUPFD_CLOEXEC, 10) < 10 then wrong[#wrong + 1] = "fcntl that is needed" end
    return table.concat(wrong, ", ")
  end)
  t.equal(answer, "")
end)

t.test("it holds no descriptor but its own, prints to nobody, leaves no core, and goes first when memory is out", function()
  need_sandbox()
  local kept_open = assert(io.open("tests/sandbox.lua"))
  local number, raw = numbers(), raw_call()
  local high = raw(number.fcntl, 2, 0, 700) -- of whoever started the grading
  local answer, seen = enclosed(function() return "ready" end, function(pid)
    local function of(name)
      local f <close> = io.open(("/proc/%d/%s"):format(pid, name))
      return f and f:read "a" or ""
    end
    local links = {}
    for _, entry in ipairs(core.list_folder(("/proc/%d/fd"):format(pid))) do
      links[#links + 1] = core.read_link(("/proc/%d/fd/%s"):format(pid, entry[1])) or "?"
    end
    table.sort(links)
    return { links = table.concat(links, " "), limits = of "limits", score = of "oom_score_adj", status = of "status" }
  end)
  kept_open:close()
  core.close_fd(high)
  t.equal(answer, "ready")
  t.ok(seen.links:find "^/dev/null /dev/null /dev/null socket:%[%d+%]$", seen.links)
  t.equal(seen.score, "1000\n")
  t.ok(seen.limits:find "Max core file size +0 +0" and seen.limits:find "Max address space +1073741824 +1073741824"
    and seen.limits:find "Max file size +1048576 +1048576" and seen.limits:find "Max cpu time +20 +20", seen.limits)
  t.ok(seen.status:find "NoNewPrivs:%s+1" and seen.status:find "Seccomp:%s+2", seen.status)
end)

t.test("files: its own folder, and nothing else", function()
  need_sandbox()
  t.write(folder .. "/secret", "secret")
  local answer = enclosed(function()
    local wrong = {}
    for _, path in ipairs { folder .. "/secret", folder, "..", "../..", "/etc/passwd", "/proc/self/mem", "/proc/1/environ", "/dev/tty", "/" } do
      if io.open(path) or core.list_folder(path) then wrong[#wrong + 1] = path end
    end
    for _, path in ipairs { folder .. "/new", "../new", "/dev/shm/new", "/tmp/new" } do
      if io.open(path, "w") or core.make_folder(path) then wrong[#wrong + 1] = "writes " .. path end
    end
    if os.rename("/tmp", "x") or os.remove(folder .. "/secret") or core.symlink(folder, "link") then wrong[#wrong + 1] = "moves" end
    local f = io.open("own", "w")
    if not f or not f:write "x" or not f:close() or not io.open "own" then wrong[#wrong + 1] = "its own folder" end
    return table.concat(wrong, ", ")
  end)
  t.equal(answer, "")
end)

t.done()
