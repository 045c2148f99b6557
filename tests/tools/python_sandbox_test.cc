// Programs that are right, wrong, or hostile.
#include "tools/qeval/python_sandbox.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "brink/core/error.h"
#include "tests/support/reference_data.h"
#include "tests/support/temporary_folder.h"
#include "tools/qeval/task_file.h"
#include "tools/qeval/tasks.h"

namespace brink::tools {
namespace {

class Sandbox : public ::testing::Test {
 protected:
  void SetUp() override {
    try {
      sandbox_ = std::make_unique<PythonSandbox>(
          SandboxOptions{.python = "python3", .seconds = 10, .memory_mib = 512});
    } catch (const Error& error) {
      if (std::getenv("BRINK_CI") != nullptr) FAIL() << error.what();
      GTEST_SKIP() << error.what();
    }
  }
  /// HumanEval's way: check(f).
  PythonVerdict run(const std::string& program,
                    const std::string& tests = "def check(f): assert f(1) == 2") {
    return sandbox_->run({.program = program, .prelude = "", .entry_point = "f", .tests = {tests}});
  }
  /// MBPP's way: plain assertions.
  PythonVerdict run_asserts(const std::string& program, std::vector<std::string> tests,
                            const std::string& prelude = "") {
    return sandbox_->run(
        {.program = program, .prelude = prelude, .entry_point = "", .tests = std::move(tests)});
  }
  testing::TemporaryFolder folder_;
  std::unique_ptr<PythonSandbox> sandbox_;
};

TEST_F(Sandbox, RightAndWrong) {
  EXPECT_TRUE(run("def f(x):\n  return x + 1").passed);
  EXPECT_EQ(run("def f(x):\n  return x").reason, "failed");
  const PythonVerdict syntax = run("def f(x: return x");
  EXPECT_EQ(syntax.reason, "syntax");
  EXPECT_FALSE(syntax.parsed);
  const PythonVerdict name = run("def f(x):\n  return y + 1");
  EXPECT_EQ(name.reason, "error: NameError");
  EXPECT_TRUE(name.undefined_name);
  EXPECT_FALSE(run("def f(x):\n  return 1 / 0").undefined_name);
  EXPECT_EQ(run("def g(x):\n  return 2").reason, "error: KeyError");
  EXPECT_EQ(run("raise ValueError()").reason, "error: ValueError");
  EXPECT_FALSE(run("").passed);
}

TEST_F(Sandbox, ValuesOfAllKindsCross) {
  const std::string tests =
      "def check(f):\n"
      "  for v in [None, True, 0, -2**200, 0.1, float('inf'), 1e-320, 1+2j, 'a\\u20ac\\x00', "
      "b'\\xff',\n"
      "            [1, [2]], (1, (2,)), {1: {'a': [3]}}, {(1, 2): {3}}, {1, 2}, frozenset([3]), "
      "range(5),\n"
      "            [], (), {}, set()]:\n"
      "    w = f(v)\n"
      "    assert w == v and type(w) is type(v), v\n"
      "  assert f(float('nan')) != f(float('nan'))\n";
  EXPECT_EQ(run("def f(x):\n  return x", tests).reason, "passed");
  EXPECT_EQ(run("from collections import *\ndef f(x):\n  return Counter('aab')",
                "def check(f): assert f(1) == {'a': 2, 'b': 1}")
                .reason,
            "passed");
  EXPECT_EQ(
      run("def f(x):\n  return (y for y in [1, 2])", "def check(f): assert list(f(1)) == [1, 2]")
          .reason,
      "passed");
  EXPECT_EQ(run("def f(x):\n  raise ValueError('no')",
                "def check(f):\n  try: f(1)\n  except ValueError: return\n  assert False")
                .reason,
            "passed");
}

TEST_F(Sandbox, AssertionsOfMbpp) {
  EXPECT_TRUE(run_asserts("import math\ndef area(r): return math.pi * r * r",
                          {"assert math.isclose(area(1), 3.14159, rel_tol=1e-3)",
                           "assert set([area(0)]) == {0}"})
                  .passed);
  EXPECT_FALSE(run_asserts("def a(x): return x", {"assert a(1) == 1", "assert a(2) == 3"}).passed);
  // Objects of classes of the program, that the tests make and pass back.
  EXPECT_TRUE(
      run_asserts("class Pair:\n  def __init__(self, a, b):\n    self.a, self.b = a, b\n"
                  "def total(pairs): return sum(p.a + p.b for p in pairs)",
                  {"assert total([Pair(1, 2), Pair(3, 4)]) == 10", "assert Pair(1, 2).b == 2"})
          .passed);
  EXPECT_TRUE(run_asserts("class Node:\n  def __init__(self, v):\n    self.v, self.next = v, None\n"
                          "def depth(n): return 0 if n is None else 1 + depth(n.next)",
                          {"assert depth(root) == 2"}, "root = Node(1)\nroot.next = Node(2)")
                  .passed);
}

// A program may define what the published one does, be it a name of Python's own, and nothing else
// of what the tests use.
TEST_F(Sandbox, NamesOfPython) {
  const std::string program = "def sum(a, b): return a * b\ndef len(x): return 7\n";
  const auto run_as = [&](const std::string& reference, const std::string& test) {
    return sandbox_->run({.program = program,
                          .prelude = "",
                          .reference = reference,
                          .entry_point = "",
                          .tests = {test}});
  };
  const std::string reference = "def sum(a, b):\n  len = 3\n  return a + b";
  EXPECT_EQ(run_as(reference, "assert sum(2, 3) == 6 and len([]) == 0").reason, "passed");
  EXPECT_FALSE(run_as("", "assert sum(2, 3) == 6").passed);
  EXPECT_EQ(run_as("def", "assert sum([2, 3]) == 5 and len([]) == 0").reason, "passed");
}

TEST_F(Sandbox, TypesCross) {
  EXPECT_EQ(run_asserts("def kept(t, kind): return [x for x in t if not isinstance(x, kind)]\n"
                        "def kind_of(x): return type(x)",
                        {"assert kept((1, 2.5, 'a'), int) == [2.5, 'a']",
                         "assert kind_of(1) is int and kind_of('a') == str"})
                .reason,
            "passed");
  EXPECT_EQ(
      run("import os\nos.write(4, b'{\"v\": {\"y\": \"open\"}}\\n')\ndef f(x): return 1").reason,
      "ended");
}

TEST_F(Sandbox, AnswersToMbpp) {
  TaskItem item;
  item.answer = "import math\ndef root(x):\n  return math.sqrt(x)\nclass Node:\n  pass";
  item.tests = {"assert root(4) == 2"};
  const auto reason = [&](const std::string& output) {
    return sandbox_->run(python_task(TaskForm::kMbpp, item, output)).reason;
  };
  const std::string right = "def root(x):\n  return x ** 0.5";
  const std::string wrong = "def root(x):\n  return 9";
  EXPECT_EQ(reason(right), "passed");
  EXPECT_EQ(reason("\n[BEGIN]\n" + right + "\n[DONE]\n\nYou are [BEGIN]\n" + wrong), "passed");
  EXPECT_EQ(reason(right + "\n\nYou are an expert Python programmer\n[BEGIN]\n" + wrong), "passed");
  EXPECT_EQ(reason(right + "\n[BEGIN]\n" + wrong), "passed");
  EXPECT_EQ(reason("Sure:\n[BEGIN]\n" + right + "\n[DONE]\nIt works."), "passed");
  EXPECT_EQ(
      reason("```\nfrom math import sqrt\n```\nNow:\n```\ndef root(x):\n  return sqrt(x)\n```\n"
             "Prints:\n```\n2 apples\n```"),
      "passed");
  EXPECT_EQ(reason(wrong), "failed");
}

// The setup makes objects of a class that only the program has.
TEST_F(Sandbox, SetupOfMbppRunsAfterTheProgram) {
  const TaskFile file = parse_task_file(
      "mbpp.jsonl",
      R"j({"text": "t", "code": "class Node:\n  def __init__(self, v):\n    self.v = v\ndef of(n):\n  return math.floor(n.v)", "test_list": ["assert of(root) == 1"], "test_setup_code": "root = Node(1)", "test_imports": ["import math"]})j");
  const TaskItem& item = file.items[0];
  EXPECT_EQ(sandbox_->run(python_task(file.form, item, item.answer)).reason, "passed");
}

// None of these may pass, hang or leave anything behind.
TEST_F(Sandbox, CannotForgeAPass) {
  const std::vector<std::string> programs = {
      "import os\nos._exit(0)", "import os\ndef f(x): os._exit(0)", "import sys\nsys.exit(0)",
      "import sys\ndef f(x): sys.exit(0)",
      "print('passed')\nprint('{\"reason\": \"passed\"}')\ndef f(x): return 1",
      // On every file descriptor that there may be.
      "import os\nfor fd in range(64):\n  try: os.write(fd, b'{\"reason\": \"passed\", "
      "\"undefined\": "
      "false}\\n')\n  except OSError: pass\ndef f(x): return 1",
      "import os\ndef f(x):\n  while True: os.write(4, b'{\"v\": true}\\n')",
      // A value that says it equals everything.
      "class E(int):\n  __eq__ = lambda s, o: True\n  __ne__ = lambda s, o: False\n"
      "def f(x): return E(1)",
      "class E:\n  __eq__ = lambda s, o: True\ndef f(x): return E()",
      // The checking function, AssertionError or comparison exchanged.
      "import builtins\nbuiltins.AssertionError = Exception\ncheck = lambda f: None\n"
      "def f(x): return 1",
      "def f(x): raise AssertionError", "def f(x): raise SystemExit(0)",
      "def f(x): raise KeyboardInterrupt",
      "import gc, sys\ndef f(x):\n  for o in gc.get_objects():\n    if isinstance(o, dict):\n"
      "      o['passed'] = True\n  return 1",
      // Ill-formed replies.
      "import os\nos.write(4, b'{}\\n')\ndef f(x): return 1",
      "import os\nos.write(4, b'[[[[\\n')\ndef f(x): return 1",
      "import os\nos.write(4, b'[' * 100000 + b'\\n')\ndef f(x): return 1",
      "import os\nos.write(4, b'{\"v\": {\"o\": []}}\\n')\ndef f(x): return 1",
      "import os\nos.write(4, b'{\"e\": \"__import__\"}\\n')\ndef f(x): return 1"};
  for (const std::string& program : programs) {
    const PythonVerdict verdict = run(program);
    EXPECT_FALSE(verdict.passed) << program;
    EXPECT_NE(verdict.reason, "passed") << program;
  }
}

TEST_F(Sandbox, CannotReachOut) {
  const std::string file = folder_.path("written");
  std::ofstream(folder_.path("there")) << "there";
  const std::vector<std::string> attempts = {
      "open('" + file + "', 'w').write('x')",
      "open('" + folder_.path("there") + "', 'a').write('x')",
      "os.open('" + file + "', os.O_CREAT)",
      "os.mkdir('" + file + "')",
      "os.remove('" + folder_.path("there") + "')",
      "os.rename('" + folder_.path("there") + "', '" + file + "')",
      "os.symlink('x', '" + file + "')",
      "os.truncate('" + folder_.path("there") + "', 0)",
      "os.chmod('" + folder_.path("there") + "', 0)",
      "socket.socket()",
      "socket.socketpair()",
      "os.fork()",
      "subprocess.run(['true'])",
      "threading.Thread(target=print).start()",
      "os.kill(os.getppid(), 0)",
      "os.kill(1, 9)",
      "os.killpg(0, 9)",
      "os.setsid()",
      "resource.setrlimit(resource.RLIMIT_CPU, (-1, -1))",
      "ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == -1 and 1 / 0",
      "fcntl.fcntl(4, fcntl.F_SETOWN, os.getppid())"};
  for (const std::string& attempt : attempts) {
    const PythonVerdict verdict =
        run("import os, socket, fcntl\ndef f(x):\n  import subprocess, threading, resource\n  " +
            (attempt.starts_with("ctypes") ? "import ctypes\n  " : std::string()) + attempt +
            "\n  return 2");
    EXPECT_FALSE(verdict.passed) << attempt;
    EXPECT_TRUE(verdict.reason == "error: PermissionError" ||
                verdict.reason == "error: ValueError" || verdict.reason == "error: RuntimeError" ||
                verdict.reason == "error: ZeroDivisionError" ||
                verdict.reason == "error: ImportError" || verdict.reason == "error: OSError" ||
                verdict.reason == "error: BlockingIOError")
        << attempt << ": " << verdict.reason;
  }
  EXPECT_FALSE(std::filesystem::exists(file));
  EXPECT_EQ(std::filesystem::file_size(folder_.path("there")), 5u);
}

// A fork bomb, an endless loop, memory, a flood: over in time, and nothing is left running.
TEST_F(Sandbox, EndsWhatDoesNotEnd) {
  const std::vector<std::pair<std::string, std::string>> programs = {
      {"import os\ndef f(x):\n  while True:\n    try: os.fork()\n    except OSError: pass", "time"},
      {"def f(x):\n  while True: pass", "time"},
      {"import time\ndef f(x): time.sleep(1000)", "time"},
      {"def f(x):\n  while True: print('x' * 100000)", "time"},
      {"import signal\nfor s in (signal.SIGXCPU, signal.SIGTERM, signal.SIGALRM):\n"
       "  signal.signal(s, signal.SIG_IGN)\ndef f(x):\n  while True: pass",
       "time"},
      {"def f(x): return len(bytearray(1 << 30))", "error: MemoryError"},
      {"def f(x):\n  l = []\n  while True: l.append(bytearray(1 << 20))", "error: MemoryError"},
      {"def f(x):\n  return [0] * 10 ** 12", "error: MemoryError"},
      {"def f(x): return f(x)", "error: RecursionError"}};
  const PythonSandbox short_one({.seconds = 1, .memory_mib = 512});
  for (const auto& [program, reason] : programs) {
    const auto begin = std::chrono::steady_clock::now();
    const PythonSandbox& sandbox = reason == "time" ? short_one : *sandbox_;
    const PythonVerdict verdict = sandbox.run({.program = program,
                                               .prelude = "",
                                               .entry_point = "f",
                                               .tests = {"def check(f): assert f(1) == 2"}});
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    EXPECT_FALSE(verdict.passed) << program;
    EXPECT_EQ(verdict.reason, reason) << program;
    if (reason == "time") {
      EXPECT_LT(seconds.count(), 3 * 1 + 5) << program;
    }
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << program;  // no child is left
  }
}

TEST(SandboxStart, NeedsPython) {
  EXPECT_THROW(PythonSandbox({.python = "no-such-python"}), Error);
}

// The solutions that HumanEval comes with pass, and the same without their last line do not.
TEST_F(Sandbox, PublishedSolutions) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const TaskFile file = read_task_file(testing::reference_data("tasks/humaneval.jsonl"));
  for (std::size_t i = 0; i < file.items.size(); i += 6) {
    const TaskItem& item = file.items[i];
    EXPECT_EQ(sandbox_->run(python_task(file.form, item, item.answer)).reason, "passed") << item.id;
    EXPECT_FALSE(sandbox_->run(python_task(file.form, item, "    return None\n")).passed)
        << item.id;
    // A chat's answer: the whole function, fenced.
    const std::string whole = "Sure:\n```python\n" + item.question + item.answer + "\n```\n";
    EXPECT_EQ(sandbox_->run(python_task(file.form, item, whole)).reason, "passed") << item.id;
    // Only the body, fenced; and with a fence at its end that none opened.
    EXPECT_EQ(
        sandbox_->run(python_task(file.form, item, "```python\n" + item.answer + "```")).reason,
        "passed")
        << item.id;
    EXPECT_EQ(
        sandbox_->run(python_task(file.form, item, item.answer + "\n```\nThat is it.")).reason,
        "passed")
        << item.id;
  }
}

}  // namespace
}  // namespace brink::tools
