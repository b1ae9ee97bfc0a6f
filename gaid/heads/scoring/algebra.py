"""The algebra behind `folded`: points on lines, combinations of a video's vectors, and their lengths (docs/method.md, section 8).

Where sums can cancel (the norm of a fused frame or a pooled embedding that is close to 0) they are formed in float64, once
per video, so that the result differs from the direct algorithm by rounding alone. Shapes are (videos, ..., texts) throughout.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

# Added to a Gram matrix's diagonal, as a share of its trace: with dependent vectors (the two ends of a frame without audio)
# its decomposition would fail. Rounding of float32 in direct scoring is of this size. Where it is too little, a hundred times
# as much exceeds the rounding of double precision for any number of vectors that a video has.
JITTER = 1e-14


def products_with(
    vectors: Float[Tensor, "*some dim"], text: Float[Tensor, "texts dim"]
) -> Float[Tensor, "*some texts"]:
    """Products of all vectors with all texts, as one matrix product."""
    return (vectors.reshape(-1, vectors.shape[-1]) @ text.t()).view(*vectors.shape[:-1], len(text))


def centre(vectors: Tensor) -> Tensor:
    return vectors - vectors.mean(-1, keepdim=True)


def _in_training(tensor: Tensor) -> bool:
    return torch.is_grad_enabled() and tensor.requires_grad


def with_one(coefficients: Float[Tensor, "videos n texts"]) -> Tensor:
    return torch.cat([coefficients, coefficients.new_ones(()).expand_as(coefficients[:, :1])], 1)


def join(vectors: Float[Tensor, "videos n dim"], *constants: Float[Tensor, " dim"]) -> Tensor:
    """A video's vectors, and after them vectors that all videos share."""
    return torch.cat([vectors, *(one.expand(len(vectors), 1, -1) for one in constants)], 1)


@dataclass
class Line:
    """Squared norm of a point on the line between two vectors: `square * (share - nearest)**2 + rest`, where both
    terms are non-negative."""

    square: Float[Tensor, "videos frames"]
    nearest: Float[Tensor, "videos frames"]
    rest: Float[Tensor, "videos frames"]

    @classmethod
    def between(cls, ends: Float[Tensor, "videos ends frames dim"]) -> "Line":
        """The line between the two ends of each frame; of one end its square. In training in the precision of the features."""
        wide = ends if _in_training(ends) else ends.double()
        if ends.shape[1] == 1:
            rest = wide[:, 0].square().sum(-1).to(ends.dtype)
            return cls(torch.zeros_like(rest), torch.zeros_like(rest), rest)
        start, end = wide.unbind(1)
        along = end - start
        square = torch.linalg.vecdot(along, along)
        nearest = torch.where(
            square > 0, -torch.linalg.vecdot(start, along) / torch.where(square > 0, square, 1.0), 0.0
        )
        foot = torch.addcmul(start, nearest[..., None], along)
        return cls(*(one.to(ends.dtype) for one in (square, nearest, torch.linalg.vecdot(foot, foot))))

    def at(self, share: Float[Tensor, "videos frames texts"]) -> Float[Tensor, "videos frames texts"]:
        return torch.addcmul(self.rest[..., None], self.square[..., None], (share - self.nearest[..., None]).square())


def _raise_diagonal(gram: Float[Tensor, "videos n n"], share: float) -> Float[Tensor, "videos n n"]:
    """Gram matrices with a share of their trace added to the diagonal."""
    raised = (share * gram.diagonal(dim1=1, dim2=2).sum(-1)).clamp(min=1e-30)
    return gram + torch.diag_embed(raised[:, None].expand(gram.shape[:2]))


@dataclass
class Form:
    """Squared length of a combination `c` of a video's vectors: c'Gc by their Gram matrix G, or |R'c|² by a root of it, G = RR'.

    The root gives sums of squares, which are safe in float32. Roots of dependent vectors have no usable gradient, so
    training uses the matrix.
    """

    matrix: Float[Tensor, "videos n n"]
    root: bool

    @classmethod
    def of(cls, basis: Float[Tensor, "videos n dim"]) -> "Form":
        if _in_training(basis):
            return cls(basis @ basis.transpose(1, 2), False)
        wide = basis.double()
        return cls._rooted(wide @ wide.transpose(1, 2), basis.dtype)

    @classmethod
    def plain_and_centred(cls, basis: Float[Tensor, "videos n dim"]) -> tuple["Form", "Form"]:
        """The forms of vectors and of the same vectors centred; in evaluation from one product in double precision."""
        if _in_training(basis):
            return cls.of(basis), cls.of(centre(basis))
        wide = basis.double()
        gram, mean = wide @ wide.transpose(1, 2), wide.mean(-1)
        centred = gram - basis.shape[-1] * mean[:, :, None] * mean[:, None]
        return cls._rooted(gram, basis.dtype), cls._rooted(centred, basis.dtype)

    @classmethod
    def _rooted(cls, gram: Float[Tensor, "videos n n"], dtype: torch.dtype) -> "Form":
        """From Gram matrices in double precision."""
        root, failed = torch.linalg.cholesky_ex(_raise_diagonal(gram, JITTER))
        # Reading a flag would make a GPU wait for everything launched before: there the second root is always computed.
        if gram.device.type != "cpu" or failed.any():
            wider, _ = torch.linalg.cholesky_ex(_raise_diagonal(gram, 100 * JITTER))
            root = torch.where((failed > 0)[:, None, None], wider, root)
        return cls(root.to(dtype), True)

    def __call__(self, coefficients: Float[Tensor, "videos n texts"]) -> Float[Tensor, "videos texts"]:
        if self.root:
            return torch.bmm(self.matrix.transpose(1, 2), coefficients).square_().sum(1)
        return (torch.bmm(self.matrix, coefficients) * coefficients).sum(1).clamp(min=0)


@dataclass
class Hull:
    """Squared norm of a combination of a frame's ends, from their Gram matrix."""

    form: Form

    @classmethod
    def plain_and_centred(cls, ends: Float[Tensor, "videos ends frames dim"]) -> tuple["Hull", "Hull"]:
        """Of the frames as they are, and centred."""
        plain, centred = Form.plain_and_centred(ends.transpose(1, 2).flatten(0, 1))
        return cls(plain), cls(centred)

    def at(self, share: Float[Tensor, "videos ends frames texts"]) -> Float[Tensor, "videos frames texts"]:
        return self.form(share.transpose(1, 2).flatten(0, 1)).view(len(share), share.shape[2], -1)


class Lines:
    """Squared norms of frames that lie on a line between two ends (or have one), as they are and centred, when asked for."""

    def __init__(self, ends: Float[Tensor, "videos ends frames dim"]) -> None:
        self._ends = ends

    @cached_property
    def plain(self) -> Line:
        return Line.between(self._ends)

    @cached_property
    def centred(self) -> Line:
        """Of the frames as a layer norm centres them."""
        return Line.between(centre(self._ends))


class Hulls:
    """The same of frames that combine many ends."""

    def __init__(self, ends: Float[Tensor, "videos ends frames dim"]) -> None:
        self._ends = ends

    @cached_property
    def _both(self) -> tuple[Hull, Hull]:
        return Hull.plain_and_centred(self._ends)

    @property
    def plain(self) -> Hull:
        return self._both[0]

    @property
    def centred(self) -> Hull:
        """Of the frames as a layer norm centres them."""
        return self._both[1]


@dataclass
class Pooled:
    """Pooled embeddings of all pairs as combinations: `coefficients` per pair of a `basis` per video, with the form of their norms."""

    coefficients: Float[Tensor, "videos vectors texts"]
    basis: Float[Tensor, "videos vectors dim"]
    form: Form

    def lengths(self) -> Float[Tensor, "videos texts"]:
        return self.form(self.coefficients).sqrt()

    def norms(self) -> Float[Tensor, "texts videos"]:
        return self.lengths().transpose(0, 1)

    def products(self, text: Float[Tensor, "texts dim"]) -> Float[Tensor, "texts videos"]:
        """Product of each text with the embedding of each of its pairs."""
        return (products_with(self.basis, text) * self.coefficients).sum(1).transpose(0, 1)

    def products_of(self, video: int, moved: Float[Tensor, "texts dim"]) -> Float[Tensor, " texts"]:
        """Products of texts as moved for one video with the embeddings of its pairs."""
        return (self.basis[video] @ moved.t()).mul_(self.coefficients[video]).sum(0)

    def products_with_own(self, moved: Float[Tensor, "videos texts dim"]) -> Float[Tensor, "videos texts"]:
        """Products of texts as moved for each video with the embeddings of its pairs."""
        return torch.bmm(self.basis, moved.transpose(1, 2)).mul_(self.coefficients).sum(1)

    def embeddings(self, texts: slice) -> Float[Tensor, "videos texts dim"]:
        """The embeddings of some texts as tensors."""
        coefficients = self.coefficients if self.coefficients.shape[-1] == 1 else self.coefficients[..., texts]
        return torch.bmm(coefficients.transpose(1, 2), self.basis)

    def mean_of_texts(self) -> Float[Tensor, "videos dim"]:
        return torch.einsum("vn,vnd->vd", self.coefficients.mean(-1), self.basis)


@dataclass
class Pairs:
    """Pooled embeddings of all pairs as tensors: for training with dropout, and where a basis would have more vectors than dimensions."""

    embedding: Float[Tensor, "videos texts dim"]

    def lengths(self) -> Float[Tensor, "videos texts"]:
        return torch.linalg.vector_norm(self.embedding, dim=-1)

    def norms(self) -> Float[Tensor, "texts videos"]:
        return self.lengths().transpose(0, 1)

    def products(self, text: Float[Tensor, "texts dim"]) -> Float[Tensor, "texts videos"]:
        """Product of each text with the embedding of each of its pairs."""
        return torch.linalg.vecdot(self.embedding, text).transpose(0, 1)

    def products_of(self, video: int, moved: Float[Tensor, "texts dim"]) -> Float[Tensor, " texts"]:
        """Products of texts as moved for one video with the embeddings of its pairs."""
        return torch.linalg.vecdot(self.embedding[video], moved)

    def products_with_own(self, moved: Float[Tensor, "videos texts dim"]) -> Float[Tensor, "videos texts"]:
        """Products of texts as moved for each video with the embeddings of its pairs."""
        return torch.linalg.vecdot(self.embedding, moved)

    def embeddings(self, texts: slice) -> Float[Tensor, "videos texts dim"]:
        """The embeddings of some texts."""
        return self.embedding if self.embedding.shape[1] == 1 else self.embedding[:, texts]

    def mean_of_texts(self) -> Float[Tensor, "videos dim"]:
        return self.embedding.mean(1)
