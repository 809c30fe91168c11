from models.laws.associations import describe_coordinate
from models.laws.correlation import Interval

WORDS = {"log_T_K": "the Kondo scale", "n_d": "the occupation", "asymmetry": "the asymmetry"}


def say(**values):
    intervals = {name: Interval(value, value - 0.01, value + 0.01) for name, value in values.items()}
    return describe_coordinate("even 1", intervals, words=WORDS, remarks=("It carries 2.5 nats.", "So far."))


def test_the_firmness_of_the_words_follows_the_number():
    assert "even 1 is the Kondo scale, up to a monotone scale (Spearman -0.980" in say(log_T_K=-0.98, n_d=0.1)
    assert "follows the Kondo scale closely" in say(log_T_K=0.92)
    assert "follows the Kondo scale loosely" in say(log_T_K=0.8)
    assert "is partly set by the Kondo scale" in say(log_T_K=0.6)
    assert "is no single quantity" in say(log_T_K=0.3)


def test_a_rival_that_is_nearly_as_good_is_named():
    assert "so nearly as well the asymmetry" in say(n_d=0.97, asymmetry=0.95)
    assert "so nearly as well" not in say(n_d=0.97, asymmetry=0.90)


def test_remarks_come_last():
    assert say(log_T_K=0.98).endswith(". It carries 2.5 nats. So far.")
