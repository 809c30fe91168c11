from models.networks.potentials.hipnn_ts import HIPNNTS
from tests.models.networks.potentials.potential_contract import PotentialContract
from tests.models.networks.potentials.test_hipnn import with_higher_terms
class Tests(PotentialContract):
    l_max=1
    def model(self):
        config = HIPNNTS.Config(species=(1, 6, 8, 13), cutoff_A=4.5, soft_max_A=4.0, n_features=8, n_sensitivities=6, n_onsite=2,l_max=self.l_max)
        return with_higher_terms(HIPNNTS(config).double())
class TestV(Tests): l_max=1
class TestQ(Tests): l_max=2
