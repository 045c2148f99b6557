// The Python of both processes of a sandbox.
#ifndef BRINK_TOOLS_QEVAL_PYTHON_RUNNER_H_
#define BRINK_TOOLS_QEVAL_PYTHON_RUNNER_H_

namespace brink::tools {

/// Values travel as JSON in lines: what JSON has no form for in an object with one key, types of
/// Python itself by their names, objects as numbers that the program's process gives them.
inline constexpr const char* kRunnerCommon = R"py(
import builtins, json, os, sys
if hasattr(sys, 'set_int_max_str_digits'): sys.set_int_max_str_digits(0)

def pack(v, other):
    if v is None or type(v) in (bool, str): return v
    if isinstance(v, bool): return bool(v)
    if isinstance(v, int): return {'i': hex(int.__index__(v))}
    if isinstance(v, float): return {'f': float.hex(v)}
    if isinstance(v, complex): return {'c': [float.hex(v.real), float.hex(v.imag)]}
    if isinstance(v, str): return str.__str__(v)
    if isinstance(v, (bytes, bytearray)): return {'b': bytes(v).hex()}
    if type(v) is range: return {'r': [hex(v.start), hex(v.stop), hex(v.step)]}
    if type(v) is type and getattr(builtins, v.__name__, None) is v: return {'y': v.__name__}
    for key, kind in (('l', list), ('t', tuple), ('s', set), ('z', frozenset)):
        if isinstance(v, kind): return {key: [pack(x, other) for x in kind.__iter__(v)]}
    if isinstance(v, dict):
        return {'d': [[pack(k, other), pack(x, other)] for k, x in dict.items(v)]}
    return {'o': other(v)}

def unpack(v, other):
    if v is None or type(v) in (bool, str): return v
    (key, x), = v.items()
    if key == 'i': return int(x, 16)
    if key == 'f': return float.fromhex(x)
    if key == 'c': return complex(float.fromhex(x[0]), float.fromhex(x[1]))
    if key == 'b': return bytes.fromhex(x)
    if key == 'r': return range(*(int(y, 16) for y in x))
    if key == 'y' and type(getattr(builtins, x)) is type: return getattr(builtins, x)
    if key == 'd': return {unpack(k, other): unpack(y, other) for k, y in x}
    if key == 'o': return other(x)
    return {'l': list, 't': tuple, 's': set, 'z': frozenset}[key](unpack(y, other) for y in x)
)py";

/// The program's process: reads it, then does what it is asked.
inline constexpr const char* kRunnerProgram = R"py(
def serve():
    calls, replies = os.fdopen(3, 'rb'), os.fdopen(4, 'wb')
    objects, kept = [], {}
    def keep(v):
        if id(v) not in kept:
            kept[id(v)] = len(objects)
            objects.append(v)
        return kept[id(v)]
    def value(v): return unpack(v, lambda i: objects[i])
    space = {'__name__': 'candidate'}
    def answer(m):
        op = m['op']
        if op == 'program':
            exec(compile(m['text'], 'candidate', 'exec'), space)
            return None
        if op == 'has': return m['name'] in space
        if op == 'name': return space[m['name']]
        if op == 'call': return value(m['f'])(*value(m['a']), **value(m['k']))
        if op == 'attr': return getattr(value(m['f']), m['name'])
        if op == 'set': return setattr(value(m['f']), m['name'], value(m['v']))
        if op == 'iter': return list(value(m['f']))
    for line in calls:
        try:
            reply = {'v': pack(answer(json.loads(line)), keep)}
        except BaseException as e:
            reply = {'e': type(e).__name__}
        replies.write(json.dumps(reply).encode() + b'\n')
        replies.flush()
serve()
)py";

/// The tests' process: its verdict is all that counts.
inline constexpr const char* kRunnerTests = R"py(
import ast
MOST = 1 << 26
class Gone(BaseException): pass
class Raised(BaseException): pass
replies, calls = os.fdopen(3, 'rb'), os.fdopen(4, 'wb')
verdicts = os.fdopen(5, 'wb')
def ask(**m):
    try:
        calls.write(json.dumps(m).encode() + b'\n')
        calls.flush()
        line = replies.readline(MOST)
        if not line.endswith(b'\n'): raise Gone()
        reply = json.loads(line)
        if 'e' not in reply: return unpack(reply['v'], Remote)
        name = str(reply['e'])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Gone()
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception) and kind is not AssertionError:
        error = None
        try: error = kind('raised by the program')
        except TypeError: pass
        if error is not None:
            error.remote = name
            raise error
    raise Raised(name)
def handle(v): return v._number
def send(v): return pack(v, handle)
class Remote:
    def __init__(self, number): object.__setattr__(self, '_number', number)
    def __call__(self, *a, **k): return ask(op='call', f={'o': self._number}, a=send(a), k=send(k))
    def __getattr__(self, name):
        if name.startswith('__'): raise AttributeError(name)
        return ask(op='attr', f={'o': self._number}, name=name)
    def __setattr__(self, name, v): ask(op='set', f={'o': self._number}, name=name, v=send(v))
    def __iter__(self): return iter(ask(op='iter', f={'o': self._number}))
    def __eq__(self, other): return type(other) is Remote and other._number == self._number
    def __hash__(self): return hash(self._number)
def defined(text):
    try: body = ast.parse(text).body
    except (SyntaxError, ValueError): return set()
    return {n.name for n in body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
def judge(task):
    space = {'__name__': 'tests'}
    try:
        ask(op='program', text=task['program'])
    except SyntaxError:
        return 'syntax'
    if task['entry_point']:
        exec(compile(task['prelude'], 'prelude', 'exec'), space)
        function = ask(op='name', name=task['entry_point'])
        space[task['entry_point']] = function
        for test in task['tests']: exec(compile(test, 'tests', 'exec'), space)
        space['check'](function)
        return 'passed'
    text = task['prelude'] + '\n' + '\n'.join(task['tests'])
    own = defined(task['reference'])
    for name in sorted({n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)}):
        if hasattr(builtins, name) and name not in own: continue
        if name in sys.stdlib_module_names: space[name] = __import__(name)
        elif ask(op='has', name=name): space[name] = ask(op='name', name=name)
    exec(compile(task['prelude'], 'prelude', 'exec'), space)
    for test in task['tests']: exec(compile(test, 'tests', 'exec'), space)
    return 'passed'
task = json.load(sys.stdin)
undefined = False
try:
    reason = judge(task)
except AssertionError:
    reason = 'failed'
except Gone:
    reason = 'ended'
except Raised as e:
    reason = 'error: ' + ''.join(c for c in str(e) if c.isalnum() or c == '_')[:60]
except BaseException as e:
    reason = 'error: ' + type(e).__name__
    undefined = getattr(e, 'remote', '') == 'NameError'
verdicts.write(json.dumps({'reason': reason, 'undefined': undefined}).encode())
verdicts.flush()
)py";

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_PYTHON_RUNNER_H_
