"""Show all that is known of a net, or of the genes of a locus, as tables."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace

from convatlas.anatomy.measure.measure import measure
from convatlas.anatomy.measure.records import Measurement
from convatlas.anatomy.report.paper_table import latex as latex_table
from convatlas.anatomy.report.paper_table import paper_table
from convatlas.anatomy.report.sentences import describe
from convatlas.anatomy.structure.dna import Dna
from convatlas.anatomy.structure.dna import dna as dna_of
from convatlas.base.errors import ConvAtlasError, UnknownName, unknown
from convatlas.base.records import Record
from convatlas.base.tables import Column, Table, plain
from convatlas.catalogue.cards import Card, cards, find_card, sources
from convatlas.genes.gene import Gene
from convatlas.genes.genome import PUBLISHED, Genome
from convatlas.genes.loci import COUNTS, LOCI, RATES, REGULARIZATIONS
from convatlas.nets.build import family_of
from convatlas.nets.user_net import is_user_net


@dataclass(frozen=True)
class NetSummary(Record):
    """A net's published card, its genome and its measured anatomy; a user's own net has only the last."""

    card: Card | None
    genome: Genome | None
    anatomy: Measurement
    layers: bool = False

    def tables(self) -> list[Table]:
        """Return the card, the genome, the review's row, the net in words, its stages as in papers and as measured.

        With `layers` the last table lists every layer instead of the stages.
        """
        published = [self._card(self.card)] if self.card else []
        chosen = [self._genome(self.genome)] if self.genome else []
        last = self.anatomy.table() if self.layers else self.anatomy.stages()
        return [*published, *chosen, self._row(), self._words(), paper_table(self.anatomy), last]

    def _words(self) -> Table:
        rows = [{"line": line} for line in describe(self.anatomy)]
        return Table((Column("line", self.anatomy.name),), rows, title="in words")

    def _card(self, card: Card) -> Table:
        paper = card.paper
        facts = [
            ("net", f"{card.published_name} ({card.name})"),
            ("family, year", f"{card.family}, {card.dated}"),
            ("paper", f"{', '.join(paper.authors)}: {paper.title}. {paper.venue}. {paper.link}"),
            ("new", card.new),
            ("weights", ", ".join(card.lineages) or "none yet"),
        ]
        facts += [("note", card.note)] if card.note else []
        facts += [(f"{column} (published)", f"{fig.printed} [{fig.source}]") for column, fig in card.figures.items()]
        keys = dict.fromkeys(figure.source for figure in card.figures.values())
        notes = [f"[{key}] {sources()[key].title}. {sources()[key].venue}. {sources()[key].where}." for key in keys]
        rows = [{"what": fact, "value": value} for fact, value in facts]
        return Table(FACTS, rows, title=card.published_name, notes=notes)

    def _genome(self, genome: Genome) -> Table:
        rows = []
        for locus in (*LOCI, *RATES, *COUNTS):
            value = getattr(genome, locus)
            if value is not None:
                rows.append({"locus": locus, "value": str(value), "formula": self._formula(locus, value)})
        return Table(GENOME, rows, title="genes")

    def _formula(self, locus: str, value: object) -> str:
        """Return a gene's formula; where the published net mixes several genes, the kinds of layers in it."""
        if value == PUBLISHED:
            kinds = [layer.kind for layer in self.anatomy.layers if layer.locus == locus and layer.kernel != (1, 1)]
            return ", ".join(dict.fromkeys(kinds)) or "each layer as published"
        if locus in COUNTS:
            return "rounds of routing"
        return LOCI[locus][str(value)].formula if locus in LOCI else REGULARIZATIONS[locus].formula

    def _row(self) -> Table:
        return Table(REVIEW, [self.anatomy.row()], title="the review's columns, measured", notes=(str(self.anatomy),))


FACTS = (Column("what", "what"), Column("value", "value"))
GENOME = (Column("locus", "locus"), Column("value", "gene"), Column("formula", "formula"))
REVIEW = (
    Column("input", "default input", plain),
    Column("output", "default output"),
    Column("path", "layers"),
    Column("depth", "depth"),
    Column("parameters", "parameters"),
    Column("trainable", "refinable"),
    Column("macs", "MACs"),
    Column("activation", "activation function"),
)
GENES = tuple(
    Column(key, key) for key in ("locus", "name", "formula", "shape", "parameters", "macs", "source", "aliases")
)


def genes() -> dict[str, dict[str, Gene]]:
    """Return every gene by its name, by its locus."""
    return LOCI | {"regularization": REGULARIZATIONS}


def show(name: str, *, layers: bool = False, dna: bool = False, latex: bool = False) -> NetSummary | Dna | Table | str:
    """Show a net: its card, its genes, its anatomy; or what a gene is.

    Args:
        name: Name of a net, `package.module:callable` or a .pt2 file; or the name of a gene or a locus.
        layers: Whether to list every layer instead of the stages.
        dna: Whether to return the net's DNA instead: one short sequence, a stage a line.
        latex: Whether to return a table of the net's stages instead, as papers print it, in LaTeX.

    Raises:
        UnknownName: There is no such net or gene; the message names similar ones.
        ConvAtlasError: More than one of `layers`, `dna` and `latex`, or one of them with a gene.
    """
    if layers + dna + latex > 1:
        raise ConvAtlasError("choose one of layers, dna and latex")
    genes_table = gene_table(name)
    if genes_table is not None and (layers or dna or latex):
        raise ConvAtlasError(f"{name} is a gene or a locus; layers, dna and latex show nets")
    if dna:
        return dna_of(measure(name))
    if latex:
        return latex_table(measure(name))
    try:
        return replace(show_net(name), layers=layers)
    except UnknownName:
        if genes_table is None:
            raise
        return genes_table


def show_net(name: str) -> NetSummary:
    """Return all that is known of a net of the atlas, or of a user's own net.

    Raises:
        UnknownName: There is no such net or gene; the message names similar ones.
    """
    if is_user_net(name):
        return NetSummary(None, None, measure(name))
    try:
        card = find_card(name)
    except UnknownName:
        known = [*cards(), *genes(), *(gene for named in genes().values() for gene in named)]
        raise unknown("net or gene", name, dict.fromkeys(known)) from None
    family = family_of(card)
    return NetSummary(card, family.default_genome(family.variants[card.name]), measure(card.name))


def gene_table(name: str) -> Table | None:
    """Return the genes of a locus, or those with a name, as a table; None if there are none."""
    key = str(name).lower().replace("-", "_")
    matches = [
        gene
        for locus, named in genes().items()
        for gene in named.values()
        if key in (locus, gene.name, *gene.aliases) or (key == "genes")
    ]
    if not matches:
        return None
    rows = [
        {field.name: getattr(gene, field.name) for field in dataclasses.fields(gene)}
        | {"aliases": ", ".join(gene.aliases)}
        for gene in matches
    ]
    return Table(GENES, rows, title=f"{key}: {len(rows)} genes" if len(rows) > 1 else key)
