"""Bad inputs of ``mtt symmetry --calculator`` and ``mtt symmetrize``, see ``table.py``."""

WRITTEN = """
from ase.calculators.calculator import Calculator, all_changes

class Energies(Calculator):
    implemented_properties = ["energy"]
    def calculate(self, atoms=None, properties=("energy",), changes=all_changes):
        super().calculate(atoms, properties, changes)
        self.results = {"energy": 1.0}

class Promises(Energies):
    implemented_properties = ["energy", "forces"]

class Upright(Energies):
    def calculate(self, atoms=None, properties=("energy",), changes=all_changes):
        if abs(atoms.cell[0, 1]) > 1e-6:
            raise RuntimeError("the cell is no triangle")
        super().calculate(atoms, properties, changes)

class Charges(Energies):
    implemented_properties = ["charges"]

def fails(path):
    raise OSError(2, "No such file or directory", path)

def number():
    return 3
"""
"""A module of calculators in the folder where the commands run."""

EMT = "ase.calculators.emt:EMT()"


def measure(calculator, *others, structures="cu.xyz"):
    """Arguments for a calculator."""
    return ["symmetry", "--calculator", calculator, structures, "-o", "out", *others]


def average(model="model.pt", output="new.pt", *others):
    """Arguments for an average of a model."""
    return ["symmetrize", model, "-o", output, *others]


COMMAND = [
    (["symmetry", "--calculator", EMT], "give STRUCTURES too"),
    (["symmetry", "--calculator", EMT, "cu.xyz"], "give -o DIR too"),
    (["symmetry", "--calculator", EMT, "model.pt", "cu.xyz", "-o", "out"], "leave out"),
    (measure(EMT, structures="nowhere.xyz"), "nowhere.xyz"),
    (measure(EMT, structures="text.txt"), "text.txt"),
    (measure(EMT, structures="xenon.xyz"), "No EMT-potential for Xe"),
    (measure(EMT, "--device", "cuda"), "where it is made"),
    (measure(EMT, "--dtype", "float64"), "where it is made"),
    (measure(EMT, "--probes", "EE"), "which hides its modules"),
    (measure(EMT, "--state", "best"), "state"),
    (measure(EMT, "--targets", "force"), "did you mean forces"),
    (measure("nonsense"), "write package.module"),
    (measure(""), "write package.module"),
    (measure("model.pt"), "write package.module"),
    (measure("no_such_package:EMT()"), "no module 'no_such_package'"),
    (measure("ase.calculators.emt:ETM()"), "did you mean EMT"),
    (measure("ase.calculators.emt:EMT(open('x'))"), "literals"),
    (measure("ase.calculators.emt:EMT(sigma"), "literals"),
    (measure("written:fails('weights.pt')"), "weights.pt"),
    (measure("written:number()"), "makes an int"),
    (measure("written:Charges()"), "but charges"),
    (measure("written:Energies()", "--targets", "forces"), "there is only energy"),
    (measure("written:Promises()"), "Promises fails.*name fewer targets"),
    (measure("written:Upright()"), "fails on a rotated copy.*leave it out"),
    (["symmetrize", "model.pt"], "-o"),
    (["symmetrize", "-o", "new.pt"], "MODEL"),
    (average(output="folder"), "must end in .pt"),
    (average(output="folder.pt"), "is a folder"),
    (average(output="folder.pt", model="model.ckpt"), "is a folder"),
    (average(output="half.pt"), "there already"),
    (average(output="model.pt"), "is the input"),
    (average(output="text.txt/new.pt"), "text.txt"),
    (average(output=""), "path|end in .pt"),
    (average("nowhere.pt"), "nowhere.pt"),
    (average("folder"), "folder"),
    (average("x.xyz"), "x.xyz"),
    (average("half.pt"), "half.pt"),
    (average("foreign.ckpt"), "foreign.ckpt"),
    (average("model.pt", "new.pt", "--group", "octahedron"), "did you mean octahedral"),
    (average("model.pt", "new.pt", "--group", "C5v"), "i for inversion"),
    (average("model.pt", "new.pt", "--group", "1"), "leaves the model as it is"),
    (average("model.pt", "new.pt", "--batch-atoms", "0"), "give 1 or more"),
    (average("model.pt", "new.pt", "--batch-atoms", "many"), "--batch-atoms"),
    (average("model.pt", "new.pt", "--state", "best"), "one state only"),
    (average("model.pt", "new.pt", "--extensions", "nowhere"), "nowhere"),
    (average("averaged.pt"), "averaged already, over the tetrahedral group"),
    (average("elsewhere.pt"), "runs on mps only"),
    (["symmetry", "elsewhere.pt", "x.xyz", "-o", "out"], "runs on mps, not on cpu"),
    (["symmetry", "model.pt", "x.xyz", "-o", "out", "--device", "mps"], "mps"),
]
