"""Kills and stops, while a producer with acks=all and a reading consumer keep accounts of every record."""

import clients
from observer import Watch
from stock import Cluster, note, say, until

PARTITIONS = 6


def epoch(cluster):
    return cluster.standing()[0]


def another_leads(cluster, before):
    """Waits for a leader of a higher epoch than before."""
    until("a controller leads in a higher epoch", lambda: (cluster.standing_now() or (0,))[0] > before)
    note(f"controller {cluster.leader()} leads in epoch {epoch(cluster)}")


def whole(cluster, client, topic):
    """Waits until every partition has a leader and all its replicas in the ISR."""

    def all_in():
        found = clients.described(client, topic).values()
        return len(found) == PARTITIONS and all(it.leader >= 0 and len(it.isrs) == 3 for it in found)

    until(f"all ISRs of {topic} are whole", all_in)


def controller_falls(cluster, account, how):
    before, leader = epoch(cluster), cluster.leader()
    server = cluster.controllers[leader]
    status = None
    if how == "kill -9":
        server.kill()
    else:
        status = server.terminate(20)
    another_leads(cluster, before)
    # A new topic needs the controller; the records of the account do not.
    clients.create_topic(cluster.at_brokers, f"after-{how.strip(' -9').lower()}-of-{leader}", 1)
    account.goes_on()
    server.start()
    clean = "" if status is None else f", status as it should be: {status in (0, 143)}"
    say(f"{how} of the leading controller{clean}: another leads, a topic is created, records flow, it comes back")


def broker_falls(cluster, account, client, id, how):
    server = cluster.brokers[id]
    led = [it for it, leader in clients.leaders(client, "account").items() if leader == id]
    assert led, f"broker {id} leads nothing"
    clean = ""
    if how == "kill -9":
        server.kill()
    else:
        status = server.terminate(60)
        let_go = server.says("controller has asked us to exit controlled shutdown") is not None
        clean = f", status {status}, the controller let it go: {let_go}"
    others = clients.admin(",".join(it for other, it in cluster.broker_addresses.items() if other != id))

    def moved():
        found = clients.described(others, "account").values()
        return len(found) == PARTITIONS and all(it.leader not in (-1, id) and id not in it.isrs for it in found)

    until(f"no partition counts on broker {id}", moved)
    account.goes_on()
    server.start()
    whole(cluster, client, "account")
    account.goes_on()
    say(f"{how} of a broker{clean}: others lead its partitions, records flow, it comes back into every ISR")


def all_controllers_fall(cluster, account):
    """What was committed before is the beginning of what is there after."""
    log, before = cluster.read_log(), cluster.standing()
    for server in cluster.controllers.values():
        server.kill()
    account.goes_on()
    say("kill -9 of all controllers: records flow without them")
    for server in cluster.controllers.values():
        server.start(wait=False)
    for server in cluster.controllers.values():
        server.wait_up()
    another_leads(cluster, before[0])
    after = cluster.standing()
    again = cluster.read_log()
    say(f"all controllers are back: the offset is no lower: {after[1] >= before[1]}, the log goes on where it was: {again[:len(log)] == log}")
    clients.create_topic(cluster.at_brokers, "after-all", 1)
    say("a topic is created")
    account.goes_on()


def preferred_leaders(cluster, client):
    lines = [f"kafka-leader-election --bootstrap-server {cluster.at_brokers} --election-type preferred --all-topic-partitions"]
    note(cluster.tools(*lines))

    def back():
        found = clients.described(client, "account").values()
        return all(it.leader == it.replicas[0] for it in found)

    until("preferred replicas lead", back)
    say("preferred leaders are elected again")


with Cluster("three", controllers=3, brokers=3) as cluster:
    cluster.add_controllers()
    for id in cluster.broker_addresses:
        cluster.add_broker(id, wait=False)
    for server in cluster.brokers.values():
        server.wait_up()
    say("three controllers and three brokers are up")
    client = clients.admin(cluster.at_brokers)
    clients.create_topic(cluster.at_brokers, "account", PARTITIONS)
    whole(cluster, client, "account")
    watch = Watch(cluster.controller_addresses)
    watch.start()
    account = clients.Account(cluster.at_brokers, "account")
    account.goes_on()
    say(f"a group reads: {len(clients.read_by_group(cluster.at_brokers, 'account', 'group', 100))}")
    controller_falls(cluster, account, "kill -9")
    broker_falls(cluster, account, client, 1, "kill -9")
    preferred_leaders(cluster, client)
    controller_falls(cluster, account, "SIGTERM")
    broker_falls(cluster, account, client, 2, "SIGTERM")
    preferred_leaders(cluster, client)
    all_controllers_fall(cluster, account)
    whole(cluster, client, "account")
    problems = account.close()
    note(f"{len(account.acknowledged)} acknowledged, {len(account.read)} read")
    say("every acknowledged record was read once, in order: " + (", ".join(problems) or "yes"))
    watch.stop()
    say("no epoch and no offset went back")
    cluster.check_brokers()
    say("no process ended by itself, no broker complained of its controller")
