"""What in a structure file belongs to the receptor: polymer, ions, cofactors, waters, the rest."""

from collections.abc import Iterable, Sequence
from enum import Enum

import gemmi

from docking.bonds import METALS
from docking.protonation import TABULATED

# Residue names of the Chemical Component Dictionary.
_COFACTORS = frozenset(
    """
    HEM HEC HEA HEB HAS HDD HDE SRM DHE COH FAD FMN FDA RBF NAD NAI NAP NDP NAJ NMN NAE TXD TAP
    ATP ADP AMP ANP ACP APC AGS ADX GTP GDP GMP 5GP GNP GCP GSP UTP UDP UMP U5P CTP CDP CMP C5P
    TTP TMP TYD DTP DGT DCP DUT UPG GUD UD1 GDU CPA A3P PAP PPS SAM SAH SFG MTA COA ACO CAO MLC SCA
    COZ COO PLP PMP PLS LLP PDD TPP TDP TPW TZD BTN BTI H4B BIO HBI H2B HHR THG THF FOL MTX C2F FFO
    LPA B12 COB CNC CBY F3S SF4 FES CLF CFN CFM FS1 F4S MGD MTE PCD PQQ TPQ MNB RET ASC GSH GTT
    CLA CHL BCL BPH PHO BCR CDL U10 UQ1 UQ2 MQ7 VK3 CUA CUB OEX CUZ BEF ALF MGF AF3 VO4 WO4 MOO
    """.split()  # noqa: SIM905
)
_ADDITIVES = frozenset(
    """
    GOL EDO PGO PEG PG4 PGE 1PE 2PE P6G PE4 PE8 12P 15P 7PE XPE PEU SO4 PO4 PI 2HP SUL NO3 SCN CO3
    BCT ACT ACY FMT CIT FLC TLA TAR MLA MLI SIN TRS BTB MES EPE HEZ MPD MRD DMS DMF IPA IOH EOH MOH
    POL BU3 BUD 1BO TBU BME DTT DTV TCE IMD NH4 AZI CAC CXS BCN B3P PIN NHE PDO ACN CCN DIO ETX LDA
    BOG BNG LMT SDS C8E OLC D10 HEX UNX UNL CYN URE TMA CHT GAI PGR PGQ MB3 DXE P33 P4C PE3 PE5 PE7
    PG0 PG5 PG6 M2M EOX
    """.split()  # noqa: SIM905
)
_WATERS = frozenset("HOH WAT DOD H2O TIP TIP3 TP3 T3P TIP4 TP4 SPC SOL OH2".split())  # noqa: SIM905
_MONOMERS = {"AA", "AAD", "PAA", "MAA", "RNA", "DNA"}
_SUGARS = {"PYR", "KET"}


class Kind(Enum):
    """What a residue is to docking."""

    POLYMER = "polymer"
    WATER = "water"
    ION = "ion"
    COFACTOR = "cofactor"
    SUGAR = "sugar"
    ADDITIVE = "crystallisation additive"
    OTHER = "small molecule"


def kind_of(name: str, elements: Sequence[str], is_hetero: bool, is_linked: bool) -> Kind:
    """Tell what a residue is.

    Args:
        name: Residue name.
        elements: Elements of its atoms.
        is_hetero: Whether its records are ``HETATM``.
        is_linked: Whether it is bonded to another residue.
    """
    info = gemmi.find_tabulated_residue(name)
    family = info.kind.name
    if name in _WATERS or info.is_water():
        return Kind.WATER
    heavy = [element for element in elements if element not in ("H", "D", "T")]
    if len(heavy) == 1 and not (is_linked and heavy[0] not in METALS):
        # A lone carbon or sulphur is a stub of something, not an ion.
        return Kind.ADDITIVE if heavy[0] in ("C", "N", "O", "S", "P") else Kind.ION
    monomer = family in _MONOMERS or name in TABULATED
    if monomer and (is_linked or not is_hetero):
        return Kind.POLYMER
    if name in _COFACTORS:
        return Kind.COFACTOR
    if family in _SUGARS:
        return Kind.SUGAR if is_linked else Kind.OTHER
    if name in _ADDITIVES or family == "BUF":
        return Kind.ADDITIVE
    if heavy and all(element in METALS or element in ("S", "O") for element in heavy):
        return Kind.COFACTOR  # an inorganic cluster
    return Kind.OTHER if is_hetero else Kind.POLYMER


def is_kept(
    kind: Kind, name: str, keep_hetero: str | bool | Iterable[str], keep_waters: bool, entry: bool
) -> bool:
    """Whether a residue stays, under the policy ``Receptor.from_file`` documents."""
    if kind is Kind.POLYMER:
        return True
    if kind is Kind.WATER:
        return keep_waters
    if isinstance(keep_hetero, str) and keep_hetero == "auto":
        return not entry or kind in (Kind.ION, Kind.COFACTOR, Kind.SUGAR)
    if isinstance(keep_hetero, str | bool):
        return keep_hetero in (True, "all")
    return name in keep_hetero
