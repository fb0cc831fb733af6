"""Single operations in float64: inputs, output, and the inputs' gradients for a random cotangent. One file per operation, attributes in ops.json."""

import torch
import torch.nn.functional as F

from common import fresh_folder, generator, write_json, write_tensors

G = generator(700)
F64 = torch.float64


def normal(*shape):
    return torch.randn(shape, generator=G, dtype=F64)


def positive(*shape):
    return torch.rand(shape, generator=G, dtype=F64) * 2 + 0.25


def index(high, *shape):
    return torch.randint(0, high, shape, generator=G)


def mask(*shape):
    return torch.rand(shape, generator=G) < 0.5


def values(rows):
    return torch.tensor(rows, dtype=F64)


class Recorder:
    """Collects the cases of all operations; `case` runs one forward and backward."""

    def __init__(self):
        self.tensors, self.attrs = {}, {}

    def case(self, op, function, inputs, attrs=None, note=None, extra=None):
        """Floating-point inputs get gradients; integers and masks do not. `extra` names further outputs that have no gradient."""
        cases, tensors = self.attrs.setdefault(op, []), self.tensors.setdefault(op, {})
        prefix = f"case{len(cases)}"
        leaves = [x.clone().requires_grad_() if x.is_floating_point() else x for x in inputs]
        outputs = function(*leaves)
        out, *others = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
        dy = normal(*out.shape)
        out.backward(dy)
        for i, leaf in enumerate(leaves):
            # int32: 64-bit integers are awkward in JavaScript, and no index here needs them.
            tensors[f"{prefix}.in{i}"] = leaf.int() if leaf.dtype == torch.int64 else leaf
            if leaf.is_floating_point():
                tensors[f"{prefix}.grad{i}"] = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        tensors[f"{prefix}.out"], tensors[f"{prefix}.dy"] = out, dy
        for name, tensor in zip(extra or [], others):
            tensors[f"{prefix}.{name}"] = tensor.int() if tensor.dtype == torch.int64 else tensor
        cases.append({"inputs": len(inputs), "attrs": attrs or {}, **({"note": note} if note else {})})


def elementwise(r):
    shapes = [((3, 4), (3, 4)), ((3, 4), (4,)), ((2, 1, 4), (3, 1)), ((2, 3), ()), ((1, 3, 1), (2, 1, 5))]
    for op, function in {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div}.items():
        for a, b in shapes:
            r.case(op, function, [normal(*a), positive(*b) * (1 if len(b) % 2 else -1) if op == "div" else normal(*b)])
    spread = torch.linspace(-6, 6, 25, dtype=F64)
    anywhere = {"exp": torch.exp, "sin": torch.sin, "cos": torch.cos, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu,
                "silu": F.silu, "abs": torch.abs, "neg": torch.neg, "square": torch.square}
    for op, function in anywhere.items():
        r.case(op, function, [normal(3, 5)])
        r.case(op, function, [spread], note="includes exactly 0")
    for op, function in {"log": torch.log, "sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "reciprocal": torch.reciprocal}.items():
        r.case(op, function, [positive(3, 5)])
        r.case(op, function, [values([1e-6, 1e-3, 1.0, 1e3, 1e6])])
    for approximate in ("none", "tanh"):
        for x in (normal(3, 5), spread):
            r.case("gelu", lambda x: F.gelu(x, approximate=approximate), [x], {"approximate": approximate})
    for exponent in (2.0, 3.0, 0.5, -1.0):
        r.case("pow", lambda x: torch.pow(x, exponent), [positive(3, 4)], {"exponent": exponent})
    r.case("pow", torch.pow, [positive(3, 4), normal(4)], note="exponent is a tensor")
    r.case("pow", lambda x: torch.pow(x, 3.0), [normal(2, 4)], {"exponent": 3.0}, "negative bases")


def selection(r):
    for op, function in {"maximum": torch.maximum, "minimum": torch.minimum}.items():
        r.case(op, function, [normal(3, 4), normal(4)])
        r.case(op, function, [values([1.0, 2.0, 3.0, -1.0]), values([1.0, 3.0, 3.0, -2.0])], note="ties: each side gets half of the gradient")
    r.case("clamp", lambda x: torch.clamp(x, -0.5, 0.5), [normal(3, 4)], {"min": -0.5, "max": 0.5})
    r.case("clamp", lambda x: torch.clamp(x, min=0.0), [normal(3, 4)], {"min": 0.0})
    r.case("clamp", lambda x: torch.clamp(x, max=0.25), [normal(3, 4)], {"max": 0.25})
    r.case("clamp", lambda x: torch.clamp(x, -0.5, 0.5), [values([-0.5, 0.5, 0.0, 1.0])], {"min": -0.5, "max": 0.5}, "at the bounds the gradient is 0")
    r.case("where", torch.where, [mask(3, 4), normal(3, 4), normal(3, 4)])
    r.case("where", torch.where, [mask(3, 1), normal(4), normal(2, 1, 1)], note="all three broadcast")


def reductions(r):
    axes = [None, [0], [1], [-1], [0, 2], [0, 1, 2]]
    tied = values([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    for op, function in {"sum": torch.sum, "mean": torch.mean, "max": torch.amax, "min": torch.amin, "logsumexp": torch.logsumexp}.items():
        for axis in axes:
            for keep in (False, True):
                dims = [0, 1, 2] if axis is None else axis
                r.case(op, lambda x: function(x, dim=dims, keepdim=keep), [normal(2, 3, 4)], {"axis": axis, "keepDim": keep})
        if op in ("max", "min"):
            r.case(op, lambda x: function(x, dim=[1]), [tied], {"axis": [1], "keepDim": False}, "ties share the gradient evenly (torch.amax, torch.amin)")
    r.case("logsumexp", lambda x: torch.logsumexp(x, 1), [normal(2, 3) * 300], {"axis": [1], "keepDim": False}, "large values")
    for op, function in {"softmax": torch.softmax, "log_softmax": torch.log_softmax}.items():
        for axis in (0, 1, -1):
            r.case(op, lambda x: function(x, dim=axis), [normal(2, 3, 5)], {"axis": axis})
        r.case(op, lambda x: function(x, dim=-1), [normal(2, 5) * 300], {"axis": -1}, "large values")
    for axis in (0, 1, -1):
        r.case("cumsum", lambda x: torch.cumsum(x, dim=axis), [normal(2, 3, 4)], {"axis": axis})
    for k, axis, largest in ((2, -1, True), (3, 0, True), (2, 1, False)):
        r.case("topk", lambda x: torch.topk(x, k, dim=axis, largest=largest), [normal(4, 5)], {"k": k, "axis": axis, "largest": largest}, extra=["indices"])


def matrices(r):
    for a, b in [((3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((2, 3, 4), (4, 5)), ((2, 1, 3, 4), (3, 4, 2)), ((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 3)), ((1, 7), (7, 1))]:
        r.case("matmul", torch.matmul, [normal(*a), normal(*b)])
    r.case("matmul", lambda x, y: x.mT @ y, [normal(4, 3), normal(4, 5)], {"transposeA": True})
    r.case("matmul", lambda x, y: x @ y.mT, [normal(2, 3, 4), normal(5, 4)], {"transposeB": True})
    r.case("matmul", lambda x, y: x.mT @ y.mT, [normal(4, 3), normal(5, 4)], {"transposeA": True, "transposeB": True})
    r.case("linear", F.linear, [normal(2, 3, 4), normal(5, 4)], note="weight is [out, in]")
    r.case("linear", F.linear, [normal(2, 3, 4), normal(5, 4), normal(5)], note="weight is [out, in], bias")


def indexing(r):
    r.case("embedding", lambda ids, w: F.embedding(ids, w), [torch.tensor([[0, 2, 2], [6, 1, 0]]), normal(7, 4)], note="in0 indices, in1 table; repeated rows add up")
    for axis, shape in ((0, (2, 4)), (1, (3, 2)), (-1, (3, 6))):
        x = normal(3, 4)
        r.case("gather", lambda x, i: torch.gather(x, axis, i), [x, index(x.shape[axis], *shape)], {"axis": axis})
    for axis in (0, 1):
        r.case("index_select", lambda x, i: torch.index_select(x, axis, i), [normal(3, 4, 2), torch.tensor([2, 0, 2])], {"axis": axis})


def shaping(r):
    r.case("cat", lambda *x: torch.cat(x, 0), [normal(2, 3), normal(1, 3), normal(4, 3)], {"axis": 0})
    r.case("cat", lambda *x: torch.cat(x, -1), [normal(2, 3), normal(2, 1)], {"axis": -1})
    for axis in (0, 1, -1):
        r.case("stack", lambda *x: torch.stack(x, axis), [normal(2, 3), normal(2, 3)], {"axis": axis})
    for axes in ([1, 0, 2], [2, 0, 1], [0, 2, 1]):
        r.case("permute", lambda x: x.permute(axes), [normal(2, 3, 4)], {"axes": axes})
    r.case("transpose", lambda x: x.transpose(-1, -2), [normal(2, 3, 4)], {"axes": [-1, -2]})
    r.case("reshape", lambda x: x.reshape(4, 6), [normal(2, 3, 4)], {"shape": [4, 6]})
    r.case("reshape", lambda x: x.reshape(-1, 2), [normal(2, 3, 4)], {"shape": [-1, 2]})
    r.case("expand", lambda x: x.expand(2, 3, 4), [normal(3, 1)], {"shape": [2, 3, 4]})
    r.case("slice", lambda x: x[1:3], [normal(5, 4)], {"starts": [1, 0], "ends": [3, 4], "steps": [1, 1]})
    r.case("slice", lambda x: x[::2, 1:4:2], [normal(5, 4)], {"starts": [0, 1], "ends": [5, 4], "steps": [2, 2]})
    r.case("pad", lambda x: F.pad(x, (1, 2, 0, 1)), [normal(2, 3)], {"pads": [[0, 1], [1, 2]], "value": 0.0}, "pads per axis, first axis first")
    r.case("pad", lambda x: F.pad(x, (2, 0), value=-1.5), [normal(2, 3)], {"pads": [[0, 0], [2, 0]], "value": -1.5})
    for op, function in {"tril": torch.tril, "triu": torch.triu}.items():
        for diagonal in (0, 1, -1):
            r.case(op, lambda x: function(x, diagonal), [normal(2, 4, 3)], {"diagonal": diagonal})


def norms(r):
    for eps in (1e-5, 1e-2):
        r.case("rms_norm", lambda x, w: F.rms_norm(x, x.shape[-1:], w, eps), [normal(2, 3, 6), normal(6)], {"eps": eps})
        r.case("layer_norm", lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b, eps), [normal(2, 3, 6), normal(6), normal(6)], {"eps": eps})
    r.case("rms_norm", lambda x: F.rms_norm(x, x.shape[-1:], None, 1e-5), [normal(2, 6)], {"eps": 1e-5}, "no weight")
    r.case("layer_norm", lambda x: F.layer_norm(x, x.shape[-1:], None, None, 1e-5), [normal(2, 6)], {"eps": 1e-5}, "no weight, no bias")


def attention(r):
    def run(note=None, extra=(), q=(2, 4, 5, 6), k=(2, 4, 5, 6), **options):
        attrs = {"isCausal": options.get("is_causal", False), "scale": options.get("scale"), "enableGqa": options.get("enable_gqa", False)}
        r.case("scaled_dot_product_attention", lambda q, k, v, m=None: F.scaled_dot_product_attention(q, k, v, attn_mask=m, **options),
               [normal(*q), normal(*k), normal(*k), *extra], attrs, note)

    allowed = mask(5, 5) | torch.eye(5, dtype=torch.bool)  # no row without any key: its softmax is not a number in torch
    run()
    run(is_causal=True)
    run(scale=0.3, is_causal=True)
    run("boolean mask, true = may attend", [allowed])
    run("boolean mask for each row of the batch", [mask(2, 1, 5, 5) | torch.eye(5, dtype=torch.bool)])
    run("additive mask; it gets a gradient too", [normal(5, 5)])
    run("grouped: query heads 0 and 1 share key head 0", q=(2, 4, 5, 6), k=(2, 2, 5, 6), enable_gqa=True, is_causal=True)
    run("one key head for three query heads", q=(1, 3, 4, 2), k=(1, 1, 4, 2), enable_gqa=True, is_causal=True)
    run("more keys than queries; causal counts from the first key", q=(1, 2, 3, 4), k=(1, 2, 5, 4), is_causal=True)
    run("keys and queries differ in number", q=(1, 2, 3, 4), k=(1, 2, 7, 4))


def losses(r):
    labels = torch.tensor([1, 0, -100, 6, 6, -100])
    for reduction in ("none", "mean", "sum"):
        r.case("cross_entropy", lambda x, t: F.cross_entropy(x, t, reduction=reduction), [normal(6, 7), index(7, 6)], {"reduction": reduction, "ignoreIndex": -100})
        r.case("cross_entropy", lambda x, t: F.cross_entropy(x, t, reduction=reduction), [normal(6, 7) * 3, labels], {"reduction": reduction, "ignoreIndex": -100}, "ignored rows")
    r.case("cross_entropy", lambda x, t: F.cross_entropy(x, t, ignore_index=2), [normal(4, 5), torch.tensor([2, 1, 2, 4])], {"reduction": "mean", "ignoreIndex": 2})
    r.case("cross_entropy", lambda x, t: F.cross_entropy(x, t), [normal(3, 5) * 500, index(5, 3)], {"reduction": "mean", "ignoreIndex": -100}, "large logits")


def rope(r):
    """Llama's rotation by halves: in0 [batch, heads, length, size], in1 and in2 the cos and sin tables [length, size / 2] of the first half."""
    def rotate(x, cos, sin):
        cos, sin = torch.cat([cos, cos], -1), torch.cat([sin, sin], -1)
        half = x.shape[-1] // 2
        return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin

    for theta, start, size in ((10000.0, 0, 8), (100000.0, 0, 6), (10000.0, 3, 4)):
        positions = torch.arange(start, start + 5, dtype=F64)
        angles = positions[:, None] * theta ** (-torch.arange(0, size, 2, dtype=F64) / size)
        r.case("rope", rotate, [normal(2, 3, 5, size), angles.cos(), angles.sin()], {"theta": theta, "start": start}, "grad1 and grad2 belong to the tables")


def main():
    G.manual_seed(700)
    folder, r = fresh_folder("ops"), Recorder()
    for group in (elementwise, selection, reductions, matrices, indexing, shaping, norms, attention, losses, rope):
        group(r)
    for op, tensors in r.tensors.items():
        write_tensors(folder / f"{op}.safetensors", tensors)
    write_json(folder / "ops.json", {"ops": {op: {"file": f"{op}.safetensors", "cases": cases} for op, cases in r.attrs.items()}})
